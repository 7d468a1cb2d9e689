import { compareIds } from '@loom/shared/entry-id.ts';
import type { DataOf } from '@loom/shared/event.ts';

/** A stream and its groups as Redis tells of them. */
export interface StreamStanding {
  /** Without the key prefix. */
  name: string;
  length: number;
  /** How many entries were ever appended. */
  added: number;
  /** Ids of the oldest entry that is there, and of the newest that ever was. */
  firstId: string;
  lastId: string;
  groups: GroupStanding[];
}

export interface GroupStanding {
  name: string;
  /** Id of the newest entry that it was given. */
  lastId: string;
  /** How many entries it was given, as Redis counts; null where it does not know. */
  read: number | null;
  oldestPending?: string;
  /** For how long none of its consumers has been given anything, milliseconds; undefined where it has none. */
  idleMs?: number;
}

/** What is remembered of a group from one look to the next. */
export interface GroupNote {
  /** When it was last alive. Unix ms of Redis' clock. */
  aliveAt: number;
  lastId: string;
  /** The place of `lastId` among all entries ever appended; undefined while it is not known. */
  index?: number;
  /** Redis counts on from where a group was before a gap: by so much its count is too low. */
  drift: number;
  /** Up to which place gaps have been told, and when. */
  toldIndex: number;
  toldAt: number;
}

export interface TrimPlan {
  /** Entries before this id may go, as many as that, the oldest first. */
  trim?: { before: string; count: number };
  gaps: (DataOf<'stream.gap'> & { index: number })[];
  /** By group. */
  notes: Record<string, GroupNote>;
}

/** A group of which nothing was heard for a day is gone: nothing is kept for it, and nobody misses what it misses. */
const ALIVE_MS = 24 * 60 * 60 * 1_000;
/** A gap that grows is told anew this often, each time with what is new in it. */
const TELL_MS = 5 * 60 * 1_000;
const NEWEST = '18446744073709551615-18446744073709551615';

/**
 * Decides how far a stream may be trimmed, and which groups have lost entries that they were not given.
 *
 * Nothing goes that a group which is alive has not acknowledged: up to the cap of whoever writes, where Redis takes the
 * oldest all the same. Then there is a gap.
 *
 * @param notes as the last plan for this stream gave them
 * @param now Unix ms of Redis' clock
 *
 * @example
 * planTrimming(standing, {}, { keep: 2_000, now }).trim; // { before: '1760000000000-0', count: 412 }
 */
export function planTrimming(
  stream: StreamStanding,
  notes: Record<string, GroupNote>,
  { keep, now }: { keep: number; now: number },
): TrimPlan {
  const { name, length, added, firstId, groups } = stream;
  // Nobody takes single entries out of these streams: what is not there was trimmed.
  const gone = added - length;
  const plan: TrimPlan = { gaps: [], notes: {} };
  let before = NEWEST;
  for (const group of groups) {
    const note = noteOf(stream, group, notes[group.name], now);
    plan.notes[group.name] = note;
    if (now - note.aliveAt > ALIVE_MS) continue;

    const needed = group.oldestPending ?? group.lastId;
    if (compareIds(needed, before) < 0) before = needed;
    const lost = note.index === undefined ? 0 : gone - Math.max(note.index, note.toldIndex);
    if (lost <= 0 || now - note.toldAt < TELL_MS) continue;
    plan.gaps.push({
      ...{ stream: name, group: group.name, state: 'unread' },
      ...{ from: group.lastId, to: firstId, lost, index: gone },
    });
    Object.assign(note, { toldIndex: gone, toldAt: now });
  }
  if (length > keep) plan.trim = { before, count: length - keep };
  return plan;
}

function noteOf(stream: StreamStanding, group: GroupStanding, last: GroupNote | undefined, now: number): GroupNote {
  const { lastId, read, idleMs } = group;
  // The stream was made anew.
  const known = last && last.toldIndex <= stream.added && (last.index ?? 0) <= stream.added ? last : undefined;
  const isAtEnd = lastId === stream.lastId;
  // Redis 7.0 counts no read that brings nothing: while there is nothing to read, a group is taken for alive.
  const aliveAt =
    isAtEnd || (!known && idleMs === undefined) ? now : Math.max(known?.aliveAt ?? 0, now - (idleMs ?? now));
  const drift = isAtEnd && read !== null ? stream.added - read : (known?.drift ?? 0);
  const index = isAtEnd ? stream.added : indexOf(group, known, drift);
  return {
    ...{ aliveAt, lastId, drift },
    ...(index !== undefined && { index }),
    ...{ toldIndex: known?.toldIndex ?? 0, toldAt: known?.toldAt ?? 0 },
  };
}

function indexOf({ lastId, read }: GroupStanding, known: GroupNote | undefined, drift: number): number | undefined {
  if (known?.lastId === lastId && known.index !== undefined) return known.index;
  if (read !== null) return read + drift;
  return lastId === '0-0' ? 0 : undefined;
}
