import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type DataOf, encodeEvent } from '@loom/shared/event.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';

const HELP = `Measures one transcript-watcher process that holds 300 sessions, on a Redis of its own.

  node deploy/bench/transcripts.ts

Four figures: the time from the append of a line to its entry on the stream; lines a second, and a second of its CPU, of
a file that grows by 20 MB at once; the CPU that 300 sessions cost on which nothing is written; and the most memory that
a process of its own takes that reads a transcript from its start, of 8 MB and of 1 GB, in lines of 50 KB.
`;

const SESSIONS = 300;
const APPENDS = 500;
const BURST_LINES = 20_000;
const IDLE_MS = 10_000;
/** Linux counts a process' CPU time in these: USER_HZ, 100 on every platform that Node runs on. */
const TICK_MS = 10;

const root = new URL('../../', import.meta.url).pathname;
const say = (line: string) => process.stdout.write(`${line}\n`);
if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}

const folder = await mkdtemp(join(tmpdir(), 'loom-bench-'));
const redis = await startRedis();
const client = redis.client();
const reader = redis.client();
const service = join(root, 'services/transcript-watcher');
/** As `npm start` does it. */
const command: string[] = JSON.parse(readFileSync(join(service, 'package.json'), 'utf8')).scripts.start.split(' ');
const child = startWatcher(folder);
const sessions = Array.from({ length: SESSIONS }, (_, at) => `session-${at}`);
const fileOf = (session: string) => join(folder, 'projects/bench', `${session}.jsonl`);
const textLine = (text: string) => `${JSON.stringify({ type: 'user', message: { role: 'user', content: text } })}\n`;

try {
  await mkdir(join(folder, 'projects/bench'), { recursive: true });
  await until(() => client.exists('loom:requests'), { withinMs: 20_000 });
  for (const session of sessions) await request(session);
  await until(areAllBegun, { withinMs: 30_000 });
  for (const session of sessions) await appendFile(fileOf(session), textLine('the first line'));
  await until(async () => (await client.xlen('loom:transcripts')) === SESSIONS, { withinMs: 30_000 });

  say(`one process, ${SESSIONS} sessions`);
  const timesMs = await measureAppends();
  say(
    `append to published    p50 ${quantile(timesMs, 0.5)} ms, p99 ${quantile(timesMs, 0.99)} ms (${APPENDS} lines of 1 KB)`,
  );

  const burst = await measureBurst();
  say(`a burst of 1 KB lines  ${burst.perSecond} lines a second, ${burst.perCpuSecond} a second of CPU`);

  const before = cpuMs();
  await delay(IDLE_MS);
  const share = ((cpuMs() - before) / IDLE_MS) * 100;
  say(`nothing is written     ${share.toFixed(1)} % of one core`);
  await end(child);

  const [small, large] = [await measureMemory(8), await measureMemory(1_024)];
  say(`memory, read from 0    ${small} MB for a transcript of 8 MB, ${large} MB for one of 1 GB`);
} finally {
  await end(child);
  client.disconnect();
  reader.disconnect();
  await redis.close();
  await rm(folder, { recursive: true, force: true });
}

function startWatcher(dataFolder: string, settings: Record<string, string> = {}): ChildProcess {
  const environment = { REDIS_URL: redis.url, LOG_LEVEL: 'warn', CLAUDE_DATA_DIR: dataFolder, ...settings };
  return spawn(process.execPath, command.slice(1), {
    cwd: service,
    env: { ...process.env, ...environment },
    stdio: 'inherit',
  });
}

async function end(watcher: ChildProcess): Promise<void> {
  if (watcher.exitCode !== null || watcher.signalCode !== null) return;
  watcher.kill('SIGTERM');
  await once(watcher, 'exit');
}

/** The most that a process took that read a transcript of so many megabytes, MB. */
async function measureMemory(megabytes: number): Promise<number> {
  const session = `of-${megabytes}-mb`;
  const own = await mkdtemp(join(folder, 'memory-'));
  const file = join(own, 'projects/bench', `${session}.jsonl`);
  await mkdir(dirname(file), { recursive: true });
  const lines = textLine('x'.repeat(51_200 - textLine('').length)).repeat(20);
  for (let written = 0; written < megabytes * 1_024 * 1_024; written += lines.length) await appendFile(file, lines);
  await appendFile(file, textLine(session));
  await request(session);
  const watcher = startWatcher(own, { LOOM_WATCH_FROM: 'start' });
  await until(async () => (await newestText()) === session, { withinMs: 300_000 });
  const peakKb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${watcher.pid}/status`, 'latin1'))?.[1]);
  await end(watcher);
  await rm(own, { recursive: true });
  return Math.round(peakKb / 1_024);
}

/** Tells of a request as the gateway does. */
async function request(session: string): Promise<void> {
  const data: DataOf<'request.received'> = {
    requestId: session,
    gateway: 'bench',
    class: 'main',
    profile: 'passthrough',
    model: null,
    replyStream: 'loom:edits:bench',
    awaited: [],
    path: '/v1/messages',
    stream: true,
    body: { bytes: 0, messages: 0, tools: 0 },
    hook: { transcriptPath: `/home/alpha/.claude/projects/bench/${session}.jsonl` },
  };
  const envelope = { id: session, source: '/loom/gateway/bench', subject: session, time: new Date().toISOString() };
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await client.xadd('loom:requests', '*', ...encodeEvent({ type: 'request.received', ...envelope, traceparent, data }));
}

async function areAllBegun(): Promise<boolean> {
  const begun = await Promise.all(sessions.map((session) => client.hexists(`loom:watched:${session}`, 'begun')));
  return begun.every((is) => is === 1);
}

/** One line at a time, to one session after the other; milliseconds, ascending. */
async function measureAppends(): Promise<number[]> {
  const timesMs: number[] = [];
  const text = 'x'.repeat(950);
  for (let at = 0; at < APPENDS; at += 1) {
    const session = sessions[at % SESSIONS] as string;
    const [newest] = await client.xrevrange('loom:transcripts', '+', '-', 'COUNT', 1);
    const entry = reader.xread('BLOCK', 10_000, 'STREAMS', 'loom:transcripts', newest?.[0] ?? '0');
    const startedMs = performance.now();
    await appendFile(fileOf(session), textLine(text));
    if (!(await entry)) throw new Error(`expected a line of ${session} within 10 s, got none`);
    timesMs.push(performance.now() - startedMs);
  }
  return timesMs.sort((a, b) => a - b);
}

async function measureBurst(): Promise<{ perSecond: number; perCpuSecond: number }> {
  const [session = ''] = sessions;
  const lines = Array.from({ length: BURST_LINES }, (_, at) => textLine(`${at} ${'x'.repeat(950)}`));
  const last = `${BURST_LINES - 1} `;
  const [startedMs, cpuBeforeMs] = [performance.now(), cpuMs()];
  await appendFile(fileOf(session), lines.join(''));
  await until(async () => ((await newestText()) ?? '').startsWith(last), { withinMs: 120_000 });
  const perSecond = Math.round((BURST_LINES / (performance.now() - startedMs)) * 1_000);
  return { perSecond, perCpuSecond: Math.round((BURST_LINES / (cpuMs() - cpuBeforeMs)) * 1_000) };
}

async function newestText(): Promise<string | undefined> {
  const [entry] = await client.xrevrange('loom:transcripts', '+', '-', 'COUNT', 1);
  const data = entry?.[1].at(-1);
  return data === undefined ? undefined : (JSON.parse(data) as { text: string }).text;
}

/** The watcher's CPU time so far, user and system. */
function cpuMs(): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
  // proc(5): after the name in parentheses comes the state; utime and stime are 11 and 12 fields further on.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function quantile(sorted: number[], share: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number).toFixed(1);
}
