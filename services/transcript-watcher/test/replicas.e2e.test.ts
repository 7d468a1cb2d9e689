import { afterAll, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { WatcherProcess } from './watcher-process.ts';
import { World } from './world.ts';

const SESSIONS = 300;
/** A lock's end: until then a holder that lost its session, or was slow to say that it let go, may not know of the next one. */
const LEASE_MS = 7_000;
const world = await World.open();
const processes: WatcherProcess[] = [];
const sessions = Array.from({ length: SESSIONS }, (_, at) => `session-${String(at).padStart(3, '0')}`);

afterAll(async () => {
  await Promise.all(processes.filter(({ isRunning }) => isRunning).map((process) => process.end('SIGKILL')));
  await world.close();
});

async function start(): Promise<WatcherProcess> {
  const process = new WatcherProcess(world.environment());
  processes.push(process);
  await until(() => process.hasLogged('started'));
  return process;
}

/** The running process that holds most. */
function busiest(): WatcherProcess {
  const running = processes.filter(({ isRunning }) => isRunning);
  return running.toSorted((a, b) => b.held.size - a.held.size)[0] as WatcherProcess;
}

/** Each session has one holder, by what the processes that run have logged: nobody takes itself for a second one. */
function areAllHeld(): boolean {
  const held = processes.filter(({ isRunning }) => isRunning).flatMap((process) => [...process.held]);
  return held.length === SESSIONS && new Set(held).size === SESSIONS;
}

async function areAllBegun(): Promise<boolean> {
  const begun = await Promise.all(sessions.map((session) => world.redis.hexists(`t:watched:${session}`, 'begun')));
  return begun.every((is) => is === 1);
}

/** Appends a line to one session after the other until it is told to stop; resolves to what each was given. */
function write(): { stop: () => Promise<Map<string, string[]>> } {
  const written = new Map(sessions.map((session) => [session, [] as string[]]));
  let next = 0;
  let isStopping = false;
  const writing = (async () => {
    while (!isStopping) {
      const session = sessions[next++ % SESSIONS] as string;
      const lines = written.get(session) as string[];
      const line = `line ${lines.length} of ${session}`;
      await world.append(`p/${session}.jsonl`, line);
      lines.push(line);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return {
    stop: async () => {
      isStopping = true;
      await writing;
      return written;
    },
  };
}

/** Who held a session when, the earliest first; a killed process held until it was killed. */
function holdings(session: string): { fromMs: number; toMs: number }[] {
  const found: { fromMs: number; toMs: number }[] = [];
  for (const { lines, endedAtMs } of processes) {
    for (const { session: about, message, atMs } of lines) {
      if (about !== session || !message.startsWith('lease ')) continue;
      const last = found.at(-1);
      if (message === 'lease taken') found.push({ fromMs: atMs, toMs: endedAtMs });
      else if (last) last.toMs = atMs;
    }
  }
  return found.sort((a, b) => a.fromMs - b.fromMs);
}

describe('three replicas', () => {
  test('publish each line of 300 sessions once, while one after the other dies', async () => {
    await Promise.all([start(), start(), start()]);
    for (const session of sessions) await world.request(session);
    await until(areAllHeld);
    // What is written before a session's first look is from before it was watched.
    await until(areAllBegun);
    const writer = write();

    for (const signal of ['SIGKILL', 'SIGKILL', 'SIGTERM'] as const) {
      const victim = busiest();
      expect(victim.held.size).toBeGreaterThan(0);
      expect(await victim.end(signal)).toBe(signal === 'SIGTERM' ? 0 : null);
      // Handed over before it ends, where it can; else the others wait for the end of its locks.
      if (signal === 'SIGTERM') expect(victim.held.size).toBe(0);
      await until(areAllHeld);
      await start();
    }
    const written = await writer.stop();
    const count = [...written.values()].flat().length;
    await until(async () => (await world.redis.xlen('t:transcripts')) >= count);

    const published = new Map(sessions.map((session) => [session, [] as string[]]));
    for (const { text } of await world.published()) published.get(text.split(' ').at(-1) as string)?.push(text);
    expect(published).toEqual(written);
    await until(areAllHeld);

    const heldByTwo = sessions.filter((session) =>
      holdings(session).some(
        ({ toMs }, at, all) => toMs - LEASE_MS > (all[at + 1]?.fromMs ?? Number.POSITIVE_INFINITY),
      ),
    );
    expect(heldByTwo).toEqual([]);
  }, 300_000);
});
