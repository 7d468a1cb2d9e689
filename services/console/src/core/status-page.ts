import { counted, seconds } from '@loom/shared/figures.ts';
import { fitLine, type Piece, type Screen } from './screen.ts';
import type { Alert, GroupStatus, Replica, Status, StreamStatus } from './status.ts';
import { alignRows } from './table.ts';

/** An entry that waits longer than this is worth a look, milliseconds. */
const LATE_MS = 10_000;

/**
 * Writes the status as a page: services, streams with their groups, dead letters, alerts, memory.
 *
 * @example
 * formatStatus(status, screen); // ['14:03:22 · Redis holds 12.3 MB of 256.0 MB', '', 'service …', …]
 */
export function formatStatus(status: Status, screen: Screen): string[] {
  const { at, replicas, absentRewriters, openBreakers, streams, deadLetters, alerts, memory } = status;
  const max = memory.maxBytes > 0 ? ` of ${megabytes(memory.maxBytes)}` : '';
  const rows: Piece[][] = [
    [['dim', screen.clock(at)], ` · Redis holds ${megabytes(memory.usedBytes)}${max} · ${together(status)}`],
    [],
    ...serviceRows(replicas, absentRewriters, at),
    ...openBreakers.map(({ rewriter, gateway }): Piece[] => [
      ['red', `${rewriter} is skipped: it did not answer in time`],
      ['dim', ` (${gateway})`],
    ]),
    [],
    ...streamRows(streams),
    [],
    deadLetters > 0 ? [['red', counted(deadLetters, 'dead letter')], ': loom dead-letters list'] : ['no dead letters'],
    ...alertRows(alerts),
  ];
  return rows.map((row) => fitLine(row, screen));
}

function serviceRows(replicas: Replica[], absent: string[], at: number): Piece[][] {
  if (replicas.length + absent.length === 0) return [[['red', 'no service is there']]];
  const head = headOf('service', 'up', 'memory', 'handled', 'failed', 'dead', 'replica');
  const present = replicas.map(({ service, replica, since, handled, failed, deadLettered, memoryBytes }): Piece[] => [
    service,
    age(at - Date.parse(since)),
    memoryBytes === null ? '?' : megabytes(memoryBytes),
    String(handled),
    String(failed),
    String(deadLettered),
    ['dim', replica],
  ]);
  const missing = absent.map((service): Piece[] => [
    ['red', service],
    ['red', 'absent'],
  ]);
  return alignRows([head, ...present, ...missing]);
}

function streamRows(streams: StreamStatus[]): Piece[][] {
  if (streams.length === 0) return [['no stream holds anything']];
  const head = headOf('stream', 'length', 'group', 'lag', 'pending', 'oldest unread');
  const rows = streams.flatMap(({ name, length, groups }): Piece[][] => {
    const [first, ...others] = groups.map(groupCells);
    return [[name, String(length), ...(first ?? [])], ...others.map((cells): Piece[] => ['', '', ...cells])];
  });
  return alignRows([head, ...rows]);
}

function groupCells({ name, lag, pending, oldestUnreadMs }: GroupStatus): Piece[] {
  const waits = oldestUnreadMs === null ? '' : age(oldestUnreadMs);
  const isLate = oldestUnreadMs !== null && oldestUnreadMs > LATE_MS;
  return [name, lag === null ? '?' : String(lag), String(pending), isLate ? ['red', waits] : waits];
}

function alertRows(alerts: Alert[]): Piece[][] {
  if (alerts.length === 0) return [['no alerts in the last hour']];
  const rows = alerts.map(({ type, detail, count }): Piece[] => [String(count), ['red', type], detail]);
  return [['alerts of the last hour:'], ...alignRows(rows)];
}

function headOf(...names: string[]): Piece[] {
  return names.map((name) => ['dim', name]);
}

/** What all processes hold together. */
function together({ replicas, memory }: Status): string {
  const services = replicas.reduce((sum, { memoryBytes }) => sum + (memoryBytes ?? 0), 0);
  return `all together ${megabytes(services + memory.residentBytes)}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MB`;
}

/** In the largest unit that fits: `12.0 s`, `5 min`, `3 h`, `2 d`. */
function age(milliseconds: number): string {
  const minutes = milliseconds / 60_000;
  if (minutes < 1) return seconds(Math.max(0, milliseconds));
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} d`;
}
