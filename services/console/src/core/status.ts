import type { LoomEvent } from '@loom/shared/event.ts';
import { counted } from '@loom/shared/figures.ts';
import { plain } from '@loom/shared/plain.ts';

/** How Loom does, as Redis tells it. */
export interface Status {
  /** Redis' clock, Unix milliseconds. */
  at: number;
  /** The replicas that have said within 10 s that they are there. */
  replicas: Replica[];
  /** Rewriters that have announced themselves once and are not there. */
  absentRewriters: string[];
  /** The rewriters that a gateway skips for now, since they did not answer it in time. */
  openBreakers: { rewriter: string; gateway: string }[];
  streams: StreamStatus[];
  deadLetters: number;
  /** Of the last hour. */
  alerts: Alert[];
  memory: {
    usedBytes: number;
    /** 0: as much as there is. */
    maxBytes: number;
    /** What the system gave its process. */
    residentBytes: number;
  };
}

export interface Replica {
  service: string;
  replica: string;
  /** RFC 3339. */
  since: string;
  handled: number;
  failed: number;
  deadLettered: number;
  /** Of its process, without what it shares with others; null where it does not say. */
  memoryBytes: number | null;
}

export interface StreamStatus {
  /** Without the prefix. */
  name: string;
  length: number;
  groups: GroupStatus[];
}

export interface GroupStatus {
  name: string;
  /** Entries that it was not given yet; null when Redis cannot tell, because some were removed. */
  lag: number | null;
  /** Entries that it was given and did not acknowledge. */
  pending: number;
  /** How long the oldest entry waits that it was not given yet; null when there is none. */
  oldestUnreadMs: number | null;
}

/** Alerts that say the same. */
export interface Alert {
  type: string;
  /** Who was bypassed and why; empty where the type says it all. */
  detail: string;
  count: number;
}

/**
 * Counts alerts that say the same, most frequent first.
 *
 * @example
 * tallyAlerts(events); // [{ type: 'rewriter.bypassed', detail: 'intro-injector late', count: 3 }]
 */
export function tallyAlerts(events: readonly LoomEvent[]): Alert[] {
  const groups = Map.groupBy(events, (event) => `${event.type} ${detailOf(event)}`);
  return [...groups.values()]
    .map((same) => {
      const [first] = same as [LoomEvent];
      return { type: first.type, detail: `${detailOf(first)}${lostIn(same)}`, count: same.length };
    })
    .sort((left, right) => right.count - left.count || (left.type < right.type ? -1 : 1));
}

function detailOf({ type, data }: LoomEvent): string {
  if (type === 'rewriter.bypassed')
    return plain([data.rewriter, data.outcome, data.reason].filter((part) => part !== undefined).join(' '));
  if (type === 'identity.lost') return plain(`${data.rewriter} ${data.reason}`);
  if (type === 'compaction.unrecognised' || type === 'transcript.refused') return plain(data.reason);
  if (type === 'redis.emptied') return plain(`it was there at ${data.since}`);
  if (type === 'stream.gap') return plain(`${data.group} of ${data.stream}`);
  return '';
}

/** What gaps lost all together: each tells of what is new in it. */
function lostIn(events: readonly LoomEvent[]): string {
  const lost = events.reduce((sum, { type, data }) => sum + (type === 'stream.gap' ? data.lost : 0), 0);
  return lost > 0 ? `: ${counted(lost, 'event')} lost` : '';
}
