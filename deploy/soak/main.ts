import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { decodeEvent } from '@loom/shared/event.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { REMEMBERED_SESSIONS } from '../../services/gateway/src/adapters/session-records.ts';
import { startLocalStack } from '../local-stack.ts';
import { CROWD_FROM, disturb, JUDGED_FROM } from './disturbances.ts';
import { reportOf, tell } from './report.ts';
import { type KeyFamily, Samples } from './samples.ts';
import { respond, upTo, type Visits, visit } from './visitor.ts';

const HELP = `Lets the whole of Loom work for a while and says what grew: every service a process of its own, a real Redis, a
scripted API, sessions of every client that come and go, services that are ended and started again, lost connections.

usage: make soak [MINUTES=30]      (or: node deploy/soak/main.ts --minutes 30)

  --minutes N     how long (30); 2 are enough to see it run
  --visitors N    sessions at a time (3)
  --pause MS      between two requests of a session (300)

Memory, live objects, descriptors, timers and handles, event-loop delay, Redis. The first 40 % are for warming up and for
the restarts (70 % for a process's memory, which V8 fills slowly). After the gateway's last one as many sessions come
without a pause as it remembers (${REMEMBERED_SESSIONS}), so that what it holds is full before it is judged. From then on a series grows
when even the low end of its slope (Theil and Sen, 95 %) moves it by more than it may move: 6 MB and 8 % of a process's
memory, 2 MB and 4 % of live objects, 3 descriptors, handles or connections, 20 ms of event-loop delay, 2 MB and 5 % of
what Redis holds besides streams and keys that expire. Streams are held to their bounds, and every key of a session has to
expire within 30 days. Ends with 1 when something grows or a request fails. From 10 minutes on it writes
deploy/soak/soak.svg and the README's part about it; Ctrl-C ends it early.
`;
const PROGRESS_MS = 10_000;
const DAY_S = 24 * 3_600;
const MAX_TTL_S = 30 * DAY_S;
/** Visitors at a time while the gateway's memory of sessions is filled. */
const CROWD = 8;
/** A run is long enough for the README from here on. */
const TOLD_MINUTES = 10;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    visitors: { type: 'string', default: '3' },
    pause: { type: 'string', default: '300' },
    help: { type: 'boolean' },
  },
});
const [minutes, visitors, pauseMs] = [values.minutes, values.visitors, values.pause].map(Number) as [
  number,
  number,
  number,
];
const say = (line = '') => process.stdout.write(`${line}\n`);
if (values.help || !(minutes > 0) || !(visitors >= 1) || !(pauseMs >= 0)) {
  say(HELP);
  process.exit(values.help ? 0 : 1);
}

const forMs = minutes * 60_000;
const sampleMs = Math.min(10_000, Math.max(1_000, forMs / 100));
const stopping = new AbortController();
const stop = () => stopping.abort();
process.once('SIGINT', stop);
process.once('SIGTERM', stop);

const state = await mkdtemp(join(tmpdir(), 'loom-soak-'));
const probes = join(state, 'probes');
await mkdir(probes);
await mkdir(join(state, 'projects'));
const server = await startRedis({ aof: true });
const client = server.client();
await client.config('SET', 'appendfsync', 'no');
const upstream = await startUpstream(respond);
const pids = new Map<string, number>();
const spoken = new Map<string, number>();
say('starting …');
const stack = await startLocalStack({
  redisUrl: server.url,
  upstreamUrl: upstream.url,
  state,
  started: (service, pid) => pids.set(service, pid),
  // What services log while Redis is away is expected, and counted all the same.
  line: (service, line) => {
    // Without its time and its fields.
    const message = `${service}: ${line.replace(/^\d\d:\d\d:\d\d /, '').replace(/ \w+=.*/, '')}`;
    spoken.set(message, (spoken.get(message) ?? 0) + 1);
  },
  environment: {
    NODE_OPTIONS: `--import ${join(import.meta.dirname, 'probe.ts')}`,
    LOOM_SOAK_PROBE: probes,
    LOOM_SOAK_PROBE_MS: String(sampleMs),
    // So that sessions are let go and turns are over within the soak.
    LOOM_WATCH_IDLE_MS: '20000',
    LOOM_TURN_GRACE_MS: '200',
    LOOM_TURN_RETRY_MS: '5000',
    LOOM_TURN_IDLE_MS: '20000',
    LOOM_TURN_TOOL_IDLE_MS: '20000',
  },
});

const samples = new Samples();
const visits: Visits = { sessions: 0, requests: 0, aborted: 0, refused: 0, failed: [] };
let families: KeyFamily[] = [];
let alerts: [alert: string, count: number][] = [];

/** What Loom said went wrong, with how often. */
async function alertsOf(): Promise<typeof alerts> {
  const counts = new Map<string, number>();
  for (const [, fields] of await client.xrange('loom:alerts', '-', '+')) {
    const { type, data } = decodeEvent(fields);
    const { rewriter = '', outcome = '', reason = '' } = data as Record<string, unknown>;
    const alert = [type, rewriter, outcome, reason].filter((word) => word !== '').join(' ');
    counts.set(alert, (counts.get(alert) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}

async function measure(): Promise<void> {
  for (const [service, pid] of pids) samples.process(service, pid, probes);
  families = await samples.redis(client, 'loom');
  samples.add('sessions so far', '', visits.sessions);
  // The recorder keeps every request; here nobody looks at them again.
  upstream.requests.length = 0;
}

async function sample(): Promise<void> {
  while (!stopping.signal.aborted) {
    await delay(sampleMs, undefined, { signal: stopping.signal }).catch(() => {});
    await measure();
  }
}

function progress(): void {
  const memory = [...pids.keys()].map((name) => `${name} ${samples.last(`${name}: memory`).toFixed(0)}`).join(', ');
  const { sessions, requests, failed } = visits;
  say(
    `${samples.elapsedS.toFixed(0)} s: ${sessions} sessions, ${requests} requests, ${failed.length} failed; MB: ${memory}`,
  );
}

/** Sessions without a pause, as many as the gateway remembers: what it holds is judged when it can hold no more of them. */
async function crowd(options: Parameters<typeof visit>[0]): Promise<void> {
  const beginsMs = CROWD_FROM * forMs;
  await delay(beginsMs, undefined, { signal: stopping.signal }).catch(() => {});
  const numbers = upTo(REMEMBERED_SESSIONS);
  say(`  ${REMEMBERED_SESSIONS} sessions without a pause`);
  await Promise.all(Array.from({ length: CROWD }, () => visit({ ...options, pauseMs: 0 }, numbers)));
  const isFull = samples.elapsedS * 1_000 < JUDGED_FROM * forMs;
  if (!stopping.signal.aborted)
    say(`  the crowd has left${isFull ? '' : '; too late: what the gateway remembers grew while it was judged'}`);
}

const ticker = setInterval(progress, PROGRESS_MS);
const clock = setTimeout(stop, forMs);
try {
  const options = { url: stack.url, redis: client, folder: state, pauseMs, visits, signal: stopping.signal };
  await Promise.all([
    ...Array.from({ length: visitors }, () => visit(options)),
    crowd(options),
    sample(),
    disturb({ server, client, pids, forMs, stopping: stopping.signal, say: (line) => say(`  ${line}`) }),
  ]);
  alerts = await alertsOf();
} finally {
  clearInterval(ticker);
  clearTimeout(clock);
  await stack.stop();
  client.disconnect();
  await upstream.close();
  await server.close();
  await rm(state, { recursive: true, force: true });
}

const endS = samples.elapsedS;
const fromS = (JUDGED_FROM * forMs) / 1_000;
const { rows, drawn, growing, isJudged } = reportOf(samples.series.values(), fromS, endS);
say();
for (const row of rows) say(row);
say();
say('Keys in Redis at the end:');
for (const { pattern, count, bytes, staying, maxTtlS } of families) {
  const life = staying > 0 ? `${staying} stay` : `expire within ${(maxTtlS / 3_600).toFixed(1)} h`;
  say(`  ${String(count).padStart(6)}  ${(bytes / 1_024).toFixed(0).padStart(7)} KB  ${pattern}  ${life}`);
}
// Turns are forgotten after a day, what belongs to a session after thirty.
const kept = families.filter(({ staying, maxTtlS }) => staying === 0 && maxTtlS > DAY_S);
const keptKb = kept.reduce((sum, { bytes }) => sum + bytes, 0) / 1_024 / Math.max(1, visits.sessions);
say(`A session leaves ${keptKb.toFixed(1)} KB for longer than a day; all of it expires within 30.`);
say();
say('Alerts:');
for (const [alert, count] of alerts) say(`  ${String(count).padStart(6)}  ${alert}`);
const lasting = families.filter(({ maxTtlS }) => maxTtlS > MAX_TTL_S);
say();
say('Lines that the services wrote, the most frequent ones:');
for (const [line, count] of [...spoken].sort((a, b) => b[1] - a[1]).slice(0, 12))
  say(`  ${String(count).padStart(6)}  ${line}`);
say();
const { sessions, requests, aborted, refused, failed } = visits;
for (const reason of new Set(failed)) say(`failed: ${reason}`);
const took = samples.elapsedS / 60;
const verdict = isJudged ? 'nothing grows' : 'too short to say what grows';
const outcome =
  growing.length > 0 ? `grows: ${growing.join(', ')}` : lasting.length > 0 ? 'keys stay for too long' : verdict;
const summary = `${took.toFixed(0)} minutes, ${sessions} sessions, ${requests} requests (${aborted} aborted, ${refused} sent again while the gateway was away, ${failed.length} failed): ${outcome}`;
say(summary);
if (growing.length + failed.length + lasting.length > 0) process.exitCode = 1;
if (took >= TOLD_MINUTES) await tell(drawn, fromS, took, summary);
