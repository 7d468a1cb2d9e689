import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type DataOf, encodeEvent } from '@loom/shared/event.ts';
import type { ReceivedLog, ReceivedSpan } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { heard, openWorld, orphansOf, talker, turnOf, type World } from './world.ts';

const NAMES = ['gateway', 'compact-rewriter', 'intro-injector', 'transcript-watcher', 'trace-grouper'];
/** Of somebody else, whose spans are not ours to export. */
const FOREIGN = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };

let redis: RedisServer;
let upstream: Upstream;
let world: World;
let folder: string;
let session: string;
let beganAt: number;

beforeAll(async () => {
  [redis, upstream] = await Promise.all([startRedis(), startUpstream()]);
  folder = await mkdtemp(join(tmpdir(), 'loom-services-'));
  await mkdir(join(folder, 'projects/-garden'), { recursive: true });
  const settings = {
    CLAUDE_DATA_DIR: folder,
    LOG_LEVEL: 'debug',
    LOOM_INTRO_HOLD_MS: '10000',
    LOOM_TURN_IDLE_MS: '20000',
  };
  world = await openWorld({ redis, upstream }, NAMES, settings);
  await idle();
  await converse();
  await compact();
  await publishForeign();
  await world.stop();
});
afterAll(async () => {
  await world.close();
  await Promise.all([upstream.close(), redis.close()]);
  await rm(folder, { recursive: true, force: true });
});

/** Nothing happens until every service has said twice that it is there; and somebody asks the gateway how it is. */
async function idle(): Promise<void> {
  const lapse = async () => {
    const keys = await world.reader.keys(`${world.prefix}:service:*`);
    return Promise.all(keys.map(async (key) => [key, await world.reader.pttl(key)] as const));
  };
  let before = new Map<string, number>();
  const renewed = new Set<string>();
  await until(async () => {
    const now = await lapse();
    for (const [key, ms] of now) if (ms > (before.get(key) ?? Number.POSITIVE_INFINITY)) renewed.add(key);
    before = new Map(now);
    await fetch(`${world.adminUrl}/healthz`);
    return now.length >= NAMES.length - 1 && renewed.size >= now.length;
  });
  await until(async () => (await fetch(`${world.adminUrl}/readyz`)).ok);
}

/** A turn with a memorable, a tool and a subagent. */
async function converse(): Promise<void> {
  const client = talker('with everybody', {}, { transcript_path: join(folder, `projects/-garden/${turnFile()}`) });
  session = client.session;
  beganAt = Date.now();
  await world.reader.rpush(`intro:memorables:${session}`, 'The gate was painted blue.');
  const asks = { toolUses: [{ id: 'toolu_task', name: 'Task', input: { prompt: 'Count the trees.' } }] };
  await world.deliver(client.prompt('What is in the garden?'), asks);
  await appendFile(
    join(folder, `projects/-garden/${turnFile()}`),
    '{"type":"user","message":{"role":"user","content":"A line."}}\n',
  );
  await world.deliver(client.subagent('Count the trees.'), { text: 'Seven.' });
  await world.deliver(client.toolResults(heard(asks), ['Seven.']), { text: 'Seven trees.' });
  await until(async () => (await world.reader.xlen(`${world.prefix}:transcripts`)) > 0);
  await world.ended(session);
}

/** What the client asks after a turn for a summary of it, and what it is asked then. */
async function compact(): Promise<void> {
  const client = talker('compacting');
  await world.deliver(client.prompt('What is in the garden?'), { text: 'Seven trees.' });
  client.receive(heard({ text: 'Seven trees.' }));
  await world.ended(client.session);
  const summary = { text: '<summary>\nTrees.\n</summary>' };
  await world.deliver(client.compact({ trigger: 'manual' }), summary);
  client.compacted(summary.text);
  await world.deliver(client.prompt('And now?'), { text: 'Still seven.' });
  const compacting = () => world.of(client.session).filter(({ name }) => name.startsWith('chat '));
  await until(() => compacting().length === 3);
}

const turnFile = () => `${talker('with everybody').session}.jsonl`;

/** Events of another producer: of no trace, of garbage, of a trace of its own. */
async function publishForeign(): Promise<void> {
  const data: DataOf<'transcript.line'> = {
    ...{ file: 'f.jsonl', offset: 0, bytes: 1, epoch: 0, form: 'json', lineType: 'user', role: 'user' },
    ...{ contentTypes: ['text'], text: 'Hello.', textTruncated: false },
  };
  const traceparents = ['', 'garbage', `00-${FOREIGN.traceId}-${FOREIGN.spanId}-00`];
  for (const [at, traceparent] of traceparents.entries()) {
    const envelope = {
      id: `foreign-${at}`,
      source: '/elsewhere',
      subject: `foreign-${at}`,
      time: new Date().toISOString(),
    };
    const fields = encodeEvent({ type: 'transcript.line', ...envelope, traceparent, data });
    await world.reader.xadd(`${world.prefix}:transcripts`, '*', ...fields);
  }
  await until(() => processed('foreign-').length === traceparents.length);
}

const processed = (subject: string) =>
  world.recorder.spans.filter(
    ({ kind, attributes }) => kind === 5 && String(attributes['session.id']).startsWith(subject),
  );
const requests = () =>
  world.recorder.spans.filter(({ name }) => name.startsWith('loom: POST')).sort((a, b) => a.startedAt - b.startedAt);

/** The spans from one up to its root, nearest first. */
function pathOf(spanId: string): ReceivedSpan[] {
  const span = world.recorder.spans.find((one) => one.spanId === spanId);
  return span ? [span, ...pathOf(span.parentId)] : [];
}

describe('services at rest', () => {
  test('make no spans: neither polls, nor announcements, nor health checks', () => {
    expect(world.recorder.spans.filter(({ startedAt }) => startedAt < beganAt).map(({ name }) => name)).toEqual([]);
  });

  test('make none of what they publish, settle and keep for themselves either', () => {
    const commands = world.recorder.spans.filter(({ kind, name }) => kind === 3 && !name.startsWith('chat '));
    const asked = commands.filter(
      ({ service, name }) => /^(x|multi|exec|ping)/.test(name) || ['gateway', 'trace-grouper'].includes(service),
    );

    // What rewriters ask Redis for is seen.
    expect(commands.map(({ service, name }) => `${service}: ${name}`)).toContain('compact-rewriter: get');
    expect(asked.map(({ service, name }) => `${service}: ${name}`)).toEqual([]);
  });
});

describe('a compaction', () => {
  test('is marked, and shows who changed it and by how much, and none of the prompts', () => {
    const [, summary, continued] = requests().filter(({ traceId }) => traceId !== turnOf(session).traceId);
    const chats = world.recorder.spans.filter(({ name }) => name.startsWith('chat '));
    const chatUnder = (span?: ReceivedSpan) => chats.find(({ parentId }) => parentId === span?.spanId);
    const rules = world.recorder.logs.find(
      ({ service, traceId, body }) =>
        service === 'compact-rewriter' && traceId === summary?.traceId && body === 'the persona speaks for itself',
    );

    expect(summary?.attributes).toMatchObject({
      ...{ 'gen_ai.conversation.compacted': true, 'loom.compact.phase': 'summary', 'loom.request.class': 'compaction' },
      ...{ 'loom.edit.compact-rewriter': 'applied' },
    });
    expect(summary?.attributes['loom.forwarded.bytes']).not.toBe(summary?.attributes['loom.request.bytes']);
    expect(continued?.attributes).toMatchObject({
      ...{ 'gen_ai.conversation.compacted': true, 'loom.compact.phase': 'continuation' },
      'loom.request.class': 'main',
    });
    expect([summary, continued].map((span) => chatUnder(span)?.attributes['gen_ai.conversation.compacted'])).toEqual([
      true,
      true,
    ]);
    expect(rules?.attributes).toMatchObject({
      profile: 'alpha',
      class: 'compaction',
      labels: ['instruction.text-only'],
    });
    expect(JSON.stringify(summary?.attributes)).not.toContain('Your task is to create');
  });
});

describe('the log', () => {
  test('of every service names its span, which is in the trace of the turn, under the request', () => {
    const within = (log: ReceivedLog) => pathOf(log.spanId).some(({ name }) => name.startsWith('loom: POST'));
    const traces = [session, talker('compacting').session].map((of) => turnOf(of).traceId);
    const logs = world.recorder.logs.filter(({ traceId }) => traces.includes(traceId));

    expect([...new Set(logs.filter(within).map(({ service }) => service))].sort()).toEqual([...NAMES].sort());
  });

  test('of a turn’s end names the turn’s span', () => {
    const { traceId, rootSpanId } = turnOf(session);
    const ends = world.recorder.logs.filter((log) => log.body === 'turn ended' && log.traceId === traceId);

    expect(ends.map(({ spanId }) => spanId)).toEqual([turnSpanIdOf(traceId, rootSpanId)]);
  });
});

describe('an event of another producer', () => {
  test('is handled, whatever it says of its trace, and linked to what made it', async () => {
    const spans = processed('foreign-').sort((a, b) =>
      String(a.attributes['session.id']) < String(b.attributes['session.id']) ? -1 : 1,
    );

    expect(spans.map(({ parentId, linkedIds, status }) => [parentId, linkedIds, status])).toEqual([
      ['', [], 0],
      ['', [], 0],
      [FOREIGN.spanId, [FOREIGN.spanId], 0],
    ]);
    expect(spans[2]?.traceId).toBe(FOREIGN.traceId);
    expect(await world.reader.exists(`${world.prefix}:dead-letters`)).toBe(0);
  });
});

describe('metrics', () => {
  /** The newest value of each time series, by service, name and attributes. */
  const newest = () =>
    new Map(
      world.recorder.metrics.map(({ service, name, attributes, value, count }) => [
        [service, name, ...Object.entries(attributes).sort().flat()].join(' '),
        count ?? value,
      ]),
    );
  const sumOf = (pattern: RegExp) =>
    [...newest()].reduce((sum, [series, value]) => sum + (pattern.test(series) ? value : 0), 0);

  test('count calls, tokens, turns, tools and cost once, whoever measures them', () => {
    const chats = world.recorder.spans.filter(({ name }) => name.startsWith('chat '));
    const total = (name: string) => chats.reduce((sum, { attributes }) => sum + Number(attributes[name] ?? 0), 0);

    expect(sumOf(/^gateway gen_ai.client.operation.duration /)).toBe(chats.length);
    expect(sumOf(/^gateway http.server.request.duration .*\/v1\/messages$/)).toBe(chats.length);
    expect(sumOf(/^gateway loom.tokens .*type output/)).toBe(total('llm.token_count.completion'));
    expect(sumOf(/^gateway loom.tokens .*type (input|cache_)/)).toBe(total('llm.token_count.prompt'));
    expect(sumOf(/^trace-grouper loom.cost /)).toBeCloseTo(total('llm.cost.total'), 9);
    const turns = world.recorder.spans.filter(({ name }) => name === 'turn').length;
    expect(sumOf(/^trace-grouper loom.turn.duration /)).toBe(turns);
    expect(newest().get('trace-grouper loom.tool.calls error false tool Task')).toBe(1);
    expect(sumOf(/^transcript-watcher loom.transcript.lines /)).toBeGreaterThan(0);
    expect(sumOf(/^intro-injector messaging.process.duration /)).toBeGreaterThan(0);
  });

  test('have no session, request, trace or file in them', () => {
    const values = new Set(world.recorder.metrics.flatMap(({ attributes }) => Object.values(attributes).map(String)));

    expect([...values].filter((value) => /[0-9a-f]{8}|\.jsonl|^\/(?!v1)/.test(value))).toEqual([]);
  });
});

describe('every span', () => {
  test('of a turn names its session; subagent, model and tags can be asked for', () => {
    const spans = world.recorder.spans.filter(({ traceId }) => traceId === turnOf(session).traceId);
    const unnamed = spans.filter(
      ({ attributes, kind, name }) => attributes['session.id'] !== session && (kind !== 3 || name.startsWith('chat')),
    );
    const chats = spans.filter(({ name }) => name.startsWith('chat ')).sort((a, b) => a.startedAt - b.startedAt);

    expect(unnamed.map(({ service, name }) => `${service}: ${name}`)).toEqual([]);
    expect(chats.map(({ attributes }) => [attributes['llm.model_name'], attributes['tag.tags']])).toEqual([
      ['claude-opus-5-5', ['main', 'alpha']],
      ['claude-opus-5-5', ['subagent', 'alpha']],
      ['claude-opus-5-5', ['main', 'alpha']],
    ]);
    expect(chats.map(({ attributes }) => typeof attributes['loom.agent.id'])).toEqual([
      'undefined',
      'string',
      'undefined',
    ]);
  });

  test('has a parent that somebody exported', () => {
    expect(orphansOf(world.recorder.spans, [FOREIGN.spanId])).toEqual([]);
  });
});
