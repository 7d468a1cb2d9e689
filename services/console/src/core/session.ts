import { plain } from '@loom/shared/plain.ts';

/** The first eight characters of a session id: enough to tell the sessions of a day apart. */
export function shortSession(subject: string): string {
  return plain(subject).slice(0, 8) || 'no session';
}
