import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { ServiceProcess } from '../../gateway/test/e2e/service-process.ts';
import { deliver } from '../../gateway/test/e2e/talk.ts';

const SESSION = uuidOf('a turn with a tree');
const TRACE_ID = 'a'.repeat(32);
const ROOT_ID = 'b'.repeat(16);

let redis: RedisServer;
let upstream: Upstream;
let collector: OtlpReceiver;
let state: string;
let url: string;
let services: ServiceProcess[];
let ended: LoomEvent<'turn.ended'>;

beforeAll(async () => {
  [redis, upstream, collector] = await Promise.all([startRedis(), startUpstream(), startOtlpReceiver()]);
  state = await mkdtemp(join(tmpdir(), 'loom-tree-'));
  const environment = {
    REDIS_URL: redis.url,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    LOOM_TURN_GRACE_MS: '300',
  };
  const ports = { LOOM_PORT: String(await freePort()), LOOM_ADMIN_PORT: String(await freePort()) };
  url = `http://127.0.0.1:${ports.LOOM_PORT}`;
  const gateway = { ...environment, ...ports, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: state };
  services = [
    new ServiceProcess('gateway', async () => ({ ...gateway, OTEL_SERVICE_NAME: 'gateway' })),
    new ServiceProcess('trace-grouper', async () => environment),
  ];
  await Promise.all(services.map((service) => service.start()));
  await converse();
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.kill()));
  await Promise.all([upstream.close(), collector.close(), redis.close()]);
  await rm(state, { recursive: true, force: true });
});

/** A turn of three calls: a parallel batch of tools, a subagent, the answer; and a title in between. */
async function converse(): Promise<void> {
  const hook = (prompt: string) =>
    formatMetadata({
      ...{ v: 1, session_id: SESSION, trace_id: TRACE_ID, traceparent: `00-${TRACE_ID}-${ROOT_ID}-01` },
      ...{ prompt, source: 'alpha', sent_at: new Date().toISOString(), collected_ms: 20 },
    });
  const client = new ClaudeCode({ version: '2.1.330', session: SESSION, hintHeaders: true, hook });
  const say = async (request: ClientRequest, said: Answer) => {
    upstream.script = answer(said);
    await deliver(url, request);
    return messageOf(said);
  };
  const looks = await say(client.prompt('What is in the garden?'), {
    toolUses: [
      { id: 'toolu_bash', name: 'Bash', input: { command: 'ls garden' } },
      { id: 'toolu_read', name: 'Read', input: { file_path: 'garden/gate.txt' } },
    ],
  });
  await say(client.title(), { text: '{"title":"The garden"}' });
  const asks = await say(client.toolResults(looks, ['a gate', 'mended']), {
    toolUses: [{ id: 'toolu_task', name: 'Task', input: { prompt: 'Count the trees.' } }],
  });
  await say(client.subagent('Count the trees.'), { text: 'Seven.' });
  const { headers, ...brings } = client.toolResults(asks, ['Seven.']);
  // The simulated client says 38 ms, which are over before a busy machine's subagent has begun.
  const { 'x-claude-code-prev-tool-durations': _, ...untimed } = headers;
  await say({ ...brings, headers: untimed }, { text: 'A gate and seven trees.' });

  const reader = redis.client();
  const event = await until(async () => {
    const entries = await reader.xrange('loom:turns', '-', '+');
    return entries.map(([, fields]) => decodeEvent(fields)).find(({ type }) => type === 'turn.ended');
  });
  ended = event as LoomEvent<'turn.ended'>;
  await until(() => collector.spans.some(({ spanId }) => spanId === ROOT_ID));
  // Each process sends the rest of its spans when it ends.
  await Promise.all(services.map((service) => service.stop()));
}

const isShown = ({ attributes }: ReceivedSpan) => attributes['openinference.span.kind'] !== undefined;

/** The spans that Phoenix shows, each under its parent, siblings by name. */
function treeOf(spans: ReceivedSpan[], parentId = '', indent = ''): string[] {
  const children = spans.filter((span) => span.parentId === parentId);
  const drawn = children.map((span) => {
    const kind = span.attributes['openinference.span.kind'];
    return [`${indent}${span.name} ${kind}`, ...treeOf(spans, span.spanId, `${indent}  `)];
  });
  return drawn.sort(([a = ''], [b = '']) => (a < b ? -1 : 1)).flat();
}

/** A `loom` that runs as somebody in a pipe runs it. */
function loom(...words: string[]) {
  const command = join(import.meta.dirname, '../../console/src/main.ts');
  const env = { ...PASSED_ON, TZ: 'UTC', REDIS_URL: redis.url, LOOM_KEY_PREFIX: 'loom' };
  const child = spawn(process.execPath, [command, ...words], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let written = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  return { child, exited: once(child, 'close'), written: () => written };
}

describe('the loom command', () => {
  test('draws the turn that the grouper has stored', async () => {
    const { exited, written } = loom('trace');
    const [code] = await exited;

    // Without times and figures; which of two siblings began first, the clock decides.
    const drawn = written().match(/^[│ ]*([├└]─ |(?=user-turn))[^\d+].*?(?= {2})/gm);
    const calls = [1, 2, 3].flatMap(() => ['   ├─ loom: POST /v1/messages', '   │  └─ chat claude-opus-5-5']);
    expect(code).toBe(0);
    expect(drawn?.slice(1).sort()).toEqual(
      [
        ...['├─ collect-metadata', '└─ turn', ...calls],
        ...['   ├─ execute_tool Bash', '   ├─ execute_tool Read', '   ├─ execute_tool Task'],
        ...['   │  └─ invoke_agent general-purpose', '   │     └─ loom: POST /v1/messages'],
        ...['   │        └─ chat claude-opus-5-5', '   └─ loom: POST /v1/messages', '      └─ chat claude-opus-5-5'],
      ].sort(),
    );
    expect(written()).toContain(`user-turn:${SESSION.slice(0, 8)}`);
  });

  test('tells of it in one line', async () => {
    const { child, exited, written } = loom('tail', '--since', '1h');
    await until(() => written().includes('\n'));
    child.kill('SIGINT');
    await exited;

    expect(written()).toMatch(
      /^\d\d:\d\d:\d\d [0-9a-f]{8} · 10\.1k in, 104 out · \d+\.\d s · What is in th… → A gate and sev…\n$/,
    );
  });
});

describe('the spans of a turn', () => {
  test('are one tree, whoever sent them', () => {
    const request = (indent: string) => [
      `${indent}loom: POST /v1/messages CHAIN`,
      `${indent}  chat claude-opus-5-5 LLM`,
    ];

    expect(treeOf(collector.spans.filter(isShown))).toEqual([
      `user-turn:${SESSION} CHAIN`,
      '  collect-metadata CHAIN',
      '  turn AGENT',
      '    execute_tool Bash TOOL',
      '    execute_tool Read TOOL',
      '    execute_tool Task TOOL',
      '      invoke_agent general-purpose AGENT',
      ...request('        '),
      ...[1, 2, 3, 4].flatMap(() => request('    ')),
    ]);
  });

  test('are in the trace that the hook named, and each has its parent there', () => {
    const ids = new Set(collector.spans.map(({ spanId }) => spanId));
    const orphans = collector.spans.filter(({ parentId }) => parentId !== '' && !ids.has(parentId));

    expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
    expect(orphans.map(({ name }) => name)).toEqual([]);
    expect(collector.spans.filter(({ parentId }) => parentId === '').map(({ spanId }) => spanId)).toEqual([ROOT_ID]);
  });

  test('show what was asked and answered', () => {
    const root = collector.spans.find(({ spanId }) => spanId === ROOT_ID);
    const task = collector.spans.find(({ name }) => name === 'execute_tool Task');

    expect(root?.attributes).toMatchObject({
      'session.id': SESSION,
      'input.value': 'What is in the garden?',
      'output.value': 'A gate and seven trees.',
    });
    expect(task?.attributes).toMatchObject({
      'gen_ai.tool.call.id': 'toolu_task',
      'gen_ai.tool.call.arguments': '{"prompt":"Count the trees."}',
      'gen_ai.tool.call.result': 'Seven.',
    });
  });

  test('are summed up in the turn’s event', () => {
    expect(ended.data).toMatchObject({
      turn: `${TRACE_ID}-${ROOT_ID}`,
      origin: 'hook',
      profile: 'alpha',
      prompt: 'What is in the garden?',
      answer: 'A gate and seven trees.',
      endReason: 'end_turn',
      calls: { main: 3, subagent: 1, compaction: 0, retried: 0, failed: 0 },
      tools: [
        { name: 'Bash', calls: 1, errors: 0 },
        { name: 'Read', calls: 1, errors: 0 },
        { name: 'Task', calls: 1, errors: 0 },
      ],
    });
  });
});
