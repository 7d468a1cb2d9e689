import { timeOfId } from '@loom/shared/entry-id.ts';
import type { LoomEvent } from '@loom/shared/event.ts';
import { plain } from '@loom/shared/plain.ts';
import { findDeadLetter } from './dead-letter.ts';
import { type Entry, findEvent, toObject } from './entry.ts';
import { describeData } from './event-facts.ts';
import { fitLine, type Piece, pad, type Screen, type Style } from './screen.ts';
import { shortSession } from './session.ts';
import { describeTranscriptLine } from './transcript-line.ts';

const STYLES: Record<string, Style> = {
  requests: 'green',
  responses: 'blue',
  edits: 'yellow',
  turns: 'bold',
  alerts: 'red',
};

/** As wide as the types that come all the time. */
const TYPE_COLUMNS = 'response.completed'.length;

/**
 * Writes an entry of any stream as one line: time, type, session, the few things that matter.
 *
 * @param prefix the keys' prefix
 *
 * @example
 * formatEntry(entry, 'loom', screen);
 * // '14:03:22 edits.proposed     3f2a91c0 intro-injector · 1 edit'
 */
export function formatEntry(entry: Entry, prefix: string, screen: Screen): string {
  const stream = entry.key.slice(prefix.length + 1);
  const time: Piece = ['dim', `${screen.clock(timeOfId(entry.id))} `];
  const letter = stream === 'dead-letters' ? findDeadLetter(entry) : undefined;
  if (letter) {
    const { type, session, origin, group, reason } = letter;
    const said = ` ${shortSession(session)} ${type} of ${origin}, ${group}: ${plain(reason)}`;
    return fitLine([time, ['red', pad('dead letter', TYPE_COLUMNS)], said], screen);
  }
  const event = findEvent(entry);
  if (!event) return fitLine([time, ...describeUnknown(entry)], screen);
  const style = STYLES[stream.split(':', 1)[0] as string] ?? 'dim';
  return fitLine(
    [time, [style, pad(event.type, TYPE_COLUMNS)], ` ${shortSession(event.subject)} `, ...describe(event)],
    screen,
  );
}

function describe(event: LoomEvent): Piece[] {
  return event.type === 'transcript.line' ? describeTranscriptLine(event.data) : [describeData(event.type, event.data)];
}

/** An event that is newer than this program, or none at all. */
function describeUnknown(entry: Entry): Piece[] {
  const { stream: _, entry: __, type = 'no event', subject = '', data, ...rest } = toObject(entry);
  const shown = data === undefined ? JSON.stringify(rest) : typeof data === 'string' ? data : JSON.stringify(data);
  return [['dim', pad(plain(String(type)), TYPE_COLUMNS)], ` ${shortSession(String(subject))} ${shown}`];
}
