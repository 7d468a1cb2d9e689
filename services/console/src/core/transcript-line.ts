import type { DataOf, LoomEvent } from '@loom/shared/event.ts';
import { plain } from '@loom/shared/plain.ts';
import { fitLine, type Piece, type Screen, type Style } from './screen.ts';
import { shortSession } from './session.ts';

const SPEAKERS: Record<string, readonly [Style, string]> = { user: ['green', '→'], assistant: ['blue', '←'] };
const NOBODY = ['dim', '·'] as const;

/**
 * Writes a transcript's line as one line: who speaks, the session, a subagent's id, type/role (block types), first words.
 *
 * @example
 * formatTranscriptLine(event, screen); // '→ 3f2a91c0 user/user (text) The basil looks pale.'
 */
export function formatTranscriptLine({ subject, data }: LoomEvent<'transcript.line'>, screen: Screen): string {
  const [style, arrow] = SPEAKERS[data.role ?? data.lineType ?? ''] ?? NOBODY;
  return fitLine([[style, arrow], ` ${shortSession(subject)} `, ...describeTranscriptLine(data, style)], screen);
}

/** The same without arrow and session. */
export function describeTranscriptLine(data: DataOf<'transcript.line'>, style: Style = 'dim'): Piece[] {
  const agent: Piece[] = data.agentId ? [['cyan', `@${plain(data.agentId).slice(0, 8)}`], ' '] : [];
  return [...agent, [style, kindOf(data)], ` ${plain(data.text)}`];
}

function kindOf({ form, lineType, role, contentTypes, bytes }: DataOf<'transcript.line'>): string {
  if (form === 'raw') return `no JSON, ${bytes} bytes`;
  if (form === 'oversized') return `too long to be read, ${bytes} bytes`;
  const kind = [lineType ?? 'no type', role].filter((part) => part !== null).join('/');
  return plain(contentTypes.length > 0 ? `${kind} (${contentTypes.join(', ')})` : kind);
}
