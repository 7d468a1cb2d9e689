import { timeOfId } from '@loom/shared/entry-id.ts';
import { inert, plain } from '@loom/shared/plain.ts';
import { type Entry, pairsOf, parsedOr } from './entry.ts';
import { fitLine, type Screen } from './screen.ts';
import { shortSession } from './session.ts';

/** An entry that a group gave up on. */
export interface DeadLetter {
  /** Of the entry among the dead letters. */
  id: string;
  type: string;
  session: string;
  /** The fields as they were in its own stream, names and values in turn. */
  original: string[];
  group: string;
  deliveries: string;
  reason: string;
  /** The key of the stream that it comes from. */
  origin: string;
  originId: string;
}

/** What `deadLetter` in shared/ puts behind an entry's own fields. */
const OBITUARY = ['group', 'deliveries', 'reason', 'origin', 'originid'];

/**
 * Takes a dead letter apart; undefined when the entry does not end as one does. Read from its end, because the entry's
 * own fields may have any names.
 */
export function findDeadLetter({ id, fields }: Entry): DeadLetter | undefined {
  const own = Math.max(0, fields.length - 2 * OBITUARY.length);
  const obituary = pairsOf(fields.slice(own));
  if (OBITUARY.some((name, at) => obituary[at]?.[0] !== name)) return undefined;
  const [group, deliveries, reason, origin, originId] = obituary.map(([, value]) => value) as Obituary;
  const original = fields.slice(0, own);
  const { type = 'no event', subject = '' } = Object.fromEntries(pairsOf(original));
  return { id, type, session: subject, original, group, deliveries, reason, origin, originId };
}

type Obituary = [group: string, deliveries: string, reason: string, origin: string, originId: string];

/**
 * Writes a dead letter as one line.
 *
 * @example
 * formatDeadLetter(letter, screen);
 * // '1760000000000-0 14:03:22 request.received of loom:requests, intro-injector ×5: list is a hash'
 */
export function formatDeadLetter({ id, type, session, group, deliveries, reason, origin }: DeadLetter, screen: Screen) {
  return fitLine(
    [
      ['bold', id],
      ['dim', ` ${screen.clock(timeOfId(id))} ${shortSession(session)} `],
      `${plain(type)} of ${plain(origin)}, ${plain(group)} ×${plain(deliveries)}: `,
      ['red', plain(reason)],
    ],
    screen,
  );
}

/** Writes all of a dead letter, uncut: who gave up on it and why, then its own fields, its data indented. */
export function describeDeadLetter(letter: DeadLetter): string[] {
  const { id, group, deliveries, reason, origin, originId, original } = letter;
  const own = pairsOf(original).flatMap(([name, value]) => {
    const [first, ...others] = (name === 'data' ? indented(value) : value).split('\n');
    return [`${name}: ${first}`, ...others];
  });
  const lines = [
    `dead letter ${id}`,
    `from ${origin}, entry ${originId}`,
    `given up by ${group} after ${deliveries} deliveries: ${plain(reason)}`,
    '',
    ...own,
  ];
  return lines.map(inert);
}

function indented(data: string): string {
  const value = parsedOr(data);
  return typeof value === 'string' ? data : JSON.stringify(value, null, 2);
}
