import type { CapturedMessage } from '@loom/shared/event.ts';

/** The client's own additions to what a person typed; they open with one of these tags. */
const ADDED = /^\s*<(system-reminder|user-prompt-submit-hook|command-|local-command-|task-notification)/;

/** The texts of the newest user message, without what the client added to it; empty when there is none. */
export function saidIn(input: readonly CapturedMessage[] = []): string {
  const newest = input.findLast(({ role }) => role === 'user');
  const texts = (newest?.content ?? []).flatMap(({ type, ['text']: text }) =>
    type === 'text' && typeof text === 'string' && !ADDED.test(text) ? [text] : [],
  );
  return texts.join('\n\n');
}
