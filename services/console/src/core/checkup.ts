import { inert } from '@loom/shared/plain.ts';
import type { Screen, Style } from './screen.ts';

/** How a check came out. `skip`: it could not be made, because of what another one says. */
export interface Verdict {
  state: 'ok' | 'note' | 'fail' | 'skip';
  /** What was found. */
  said: string;
  /** How to mend it. */
  mend?: string;
}

/** A verdict with what it is about. */
export interface Finding extends Verdict {
  name: string;
  /** What goes wrong otherwise. */
  why: string;
}

const MARKS: Record<Verdict['state'], readonly [Style, string]> = {
  ok: ['green', '✓'],
  note: ['yellow', '!'],
  fail: ['red', '✗'],
  skip: ['dim', '·'],
};

const LATE_MS = 10_000;
const CLOCK_NOTE_MS = 1_000;
const CLOCK_FAIL_MS = 5_000;
const MIN_FREE_BYTES = 2 ** 30;

/** What is found in order; how to mend what is not. */
export const ok = (said: string): Verdict => ({ state: 'ok', said });
export const note = (said: string, mend: string): Verdict => ({ state: 'note', said, mend });
export const fail = (said: string, mend: string): Verdict => ({ state: 'fail', said, mend });
export const skip = (said: string): Verdict => ({ state: 'skip', said });

/**
 * Writes a finding as one line: a mark, what was found; where it is not in order also why it matters and what to do.
 *
 * @example
 * formatFinding(finding, screen); // '✗ eviction: allkeys-lru. Redis would drop events. Set maxmemory-policy noeviction'
 */
export function formatFinding({ state, name, said, why, mend }: Finding, { paint }: Screen): string {
  const [style, mark] = MARKS[state];
  const rest = mend === undefined ? [] : [why, mend];
  const [first, ...others] = [said, ...rest].map(inert);
  return [`${paint(style, mark)} ${name}: ${first}`, ...others].join('. ');
}

/** Of `INFO`, field by field. */
export function judgeRedis(info: Record<string, string>): Record<'version' | 'eviction' | 'aof' | 'memory', Verdict> {
  return {
    version: judgeVersion(info['redis_version'] ?? 'unknown'),
    eviction:
      info['maxmemory_policy'] === 'noeviction'
        ? ok('noeviction')
        : fail(`${info['maxmemory_policy']}`, 'Set maxmemory-policy noeviction in redis.conf'),
    aof: judgeAof(info),
    memory: judgeMemory(Number(info['used_memory']), Number(info['maxmemory'])),
  };
}

function judgeVersion(version: string): Verdict {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major >= 7) return ok(version);
  const mend = 'Install Redis 7';
  return major === 6 && minor >= 2 ? note(`${version}, which cannot tell a group's lag`, mend) : fail(version, mend);
}

function judgeAof(info: Record<string, string>): Verdict {
  if (info['aof_enabled'] !== '1') return fail('off', 'Set appendonly yes in redis.conf');
  if (info['aof_last_write_status'] !== 'ok')
    return fail(`on, and the last write was ${info['aof_last_write_status']}`, 'Look at the disk of Redis');
  return ok('on');
}

function judgeMemory(used: number, max: number): Verdict {
  const inMb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`;
  if (!max) return ok(`${inMb(used)} used, as much as there is`);
  const said = `${inMb(used)} of ${inMb(max)} used`;
  return used / max < 0.8 ? ok(said) : fail(said, 'Raise maxmemory, or shorten what other programs keep there');
}

/** @param aheadMs how far Redis' clock is ahead of this machine's */
export function judgeClock(aheadMs: number): Verdict {
  const size = Math.abs(aheadMs);
  const said = `Redis is ${Math.round(size)} ms ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine`;
  const mend = 'Let both keep time by NTP';
  if (size >= CLOCK_FAIL_MS) return fail(said, mend);
  return size >= CLOCK_NOTE_MS ? note(said, mend) : ok(said);
}

/** @param expected the services that should be there, each once at least */
export function judgeServices(expected: readonly string[], present: readonly string[]): Verdict {
  const missing = expected.filter((name) => !present.includes(name));
  const counts = [...Map.groupBy(present, (name) => name)].map(([name, { length }]) =>
    length === 1 ? name : `${name} ×${length}`,
  );
  const said = counts.length > 0 ? counts.join(', ') : 'none is there';
  if (missing.length === 0) return ok(said);
  return fail(`${missing.join(', ')} missing; there: ${said}`, 'Start them: loom up');
}

/** @param waiting each group with how long its oldest unread entry waits, milliseconds */
export function judgeLag(waiting: readonly { group: string; oldestUnreadMs: number | null }[]): Verdict {
  const late = waiting.filter(({ oldestUnreadMs }) => (oldestUnreadMs ?? 0) > LATE_MS);
  if (late.length === 0) return ok('every group has read what came');
  const said = late.map(({ group, oldestUnreadMs }) => `${group} ${Math.round(Number(oldestUnreadMs) / 1_000)} s`);
  return fail(
    `behind: ${said.join(', ')}`,
    'loom status shows it; start the service, or retire its group: XGROUP DESTROY',
  );
}

/** @param freeBytes on the disk of the spool */
export function judgeDisk(freeBytes: number): Verdict {
  const said = `${(freeBytes / 2 ** 30).toFixed(1)} GB free`;
  return freeBytes >= MIN_FREE_BYTES ? ok(said) : fail(said, 'Make room, or set LOOM_SPOOL_DIR to another disk');
}

/** Which trace a turn's parts say that they belong to. */
export interface TraceSight {
  turn: string;
  /** Where the gateway had the trace from: `hook` where the metadata block named it. */
  origin: string;
  /** Of the gateway's events of that session's newest exchanges; empty when they were trimmed away. */
  gateway: readonly string[];
}

/** Whether hook, gateway and turn saw the same trace. */
export function judgeTrace(sight: TraceSight | undefined): Verdict {
  if (!sight) return skip('no turn has ended yet');
  const { turn, origin, gateway } = sight;
  if (gateway.length === 0) return skip(`the gateway's events of turn ${turn} were trimmed away`);
  if (!gateway.includes(turn))
    return fail(`the turn says ${turn}, the gateway ${gateway.join(', ')}`, 'Run one version of Loom everywhere');
  if (origin !== 'hook')
    return note(`${turn} in gateway and turn, from ${origin}: no hook named it`, 'Connect the hook: loom connect');
  return ok(`${turn} in hook, gateway and turn`);
}
