import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { decodeEvent } from '@loom/shared/event.ts';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type OtlpReceiver, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { answer, sse } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { ServiceProcess } from '../../gateway/test/e2e/service-process.ts';
import { deliver } from '../../gateway/test/e2e/talk.ts';

const SESSION = uuidOf('a turn among the dying');
const TRACE_ID = 'a'.repeat(32);
const ROOT_ID = 'b'.repeat(16);

let redis: RedisServer;
let upstream: Upstream;
let collector: OtlpReceiver;
let state: string;
let url: string;
let adminUrl: string;
let gateway: ServiceProcess;
let injector: ServiceProcess;
let grouper: ServiceProcess;

beforeAll(async () => {
  [redis, upstream, collector] = await Promise.all([startRedis(), startUpstream(), startOtlpReceiver()]);
  state = await mkdtemp(join(tmpdir(), 'loom-kills-'));
  const ports = { LOOM_PORT: String(await freePort()), LOOM_ADMIN_PORT: String(await freePort()) };
  url = `http://127.0.0.1:${ports.LOOM_PORT}`;
  adminUrl = `http://127.0.0.1:${ports.LOOM_ADMIN_PORT}`;
  const started = (name: string, settings: Record<string, string>) =>
    new ServiceProcess(name, async () => ({
      ...{ REDIS_URL: redis.url, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: name },
      ...settings,
    }));
  const expected = { LOOM_EXPECTED_REWRITERS: 'intro-injector' };
  gateway = started('gateway', { ...ports, ...expected, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: state });
  injector = started('intro-injector', { LOOM_INTRO_HOLD_MS: '1500' });
  grouper = started('trace-grouper', { LOOM_TURN_GRACE_MS: '500' });
  await Promise.all([gateway, injector, grouper].map((service) => service.start()));
  await converse();
}, 300_000);
afterAll(async () => {
  await Promise.all([gateway, injector, grouper].map((service) => service.kill()));
  await Promise.all([upstream.close(), collector.close(), redis.close()]);
  await rm(state, { recursive: true, force: true });
});

/** Kills the gateway and starts another; the announcement of the dead one lapses, for which nobody waits here. */
async function replaceGateway(): Promise<void> {
  await gateway.kill();
  const client = redis.client();
  await client.del(await client.keys('loom:service:gateway:*'));
  await gateway.start();
}

/** A turn of three calls, in which everybody is killed once, and the client tries again. */
async function converse(): Promise<void> {
  const hook = (prompt: string) =>
    formatMetadata({
      ...{ v: 1, session_id: SESSION, trace_id: TRACE_ID, traceparent: `00-${TRACE_ID}-${ROOT_ID}-01` },
      ...{ prompt, source: 'alpha', sent_at: new Date().toISOString(), collected_ms: 20 },
    });
  const client = new ClaudeCode({ version: '2.1.330', session: SESSION, hintHeaders: true, hook });
  const reader = redis.client();
  const say = async (request: ClientRequest, said: Answer) => {
    upstream.script = answer(said);
    await deliver(url, request);
    return messageOf(said);
  };
  const bash = (id: string) => ({ toolUses: [{ id, name: 'Bash', input: { command: 'ls' } }] });

  const question = client.prompt('What is in the garden?');
  await until(async () => (await fetch(`${adminUrl}/readyz`)).ok);
  upstream.script = () => sse({ text: 'There is a gate, and behind the gate', delayMs: 60_000 });
  injector.freeze();
  const broken = fetch(url + question.path, question).then((response) => response.text());
  const gone = broken.catch((error: Error) => error.name);
  await until(async () => (await reader.xlen('loom:requests')) === 1);
  await injector.kill();
  await upstream.waitFor(1);
  await until(async () => (await reader.xlen('loom:responses')) === 1);
  await Promise.all([replaceGateway(), injector.start()]);
  await gone;

  const looks = await say(question, bash('toolu_1'));
  await replaceGateway();
  const reads = await say(client.toolResults(looks, ['a gate']), bash('toolu_2'));
  await grouper.kill();
  await grouper.start();
  await say(client.toolResults(reads, ['mended']), { text: 'A gate.' });

  await until(() => collector.spans.some(({ spanId }) => spanId === ROOT_ID));
  await Promise.all([gateway, injector, grouper].map((service) => service.stop()));
}

/** The spans as they are known in the end: one that was sent twice is one. */
function known() {
  return [...new Map(collector.spans.map((span) => [span.spanId, span])).values()];
}

function orphansAmong(spans: ReturnType<typeof known>): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  return spans.filter(({ parentId }) => parentId !== '' && !ids.has(parentId)).map(({ name }) => name);
}

describe('a turn in which gateway, rewriter and grouper were killed', () => {
  test('has each span’s parent in the end, among all spans and among those that Phoenix shows', () => {
    const shown = known().filter(({ attributes }) => attributes['openinference.span.kind'] !== undefined);

    expect(orphansAmong(known())).toEqual([]);
    expect(orphansAmong(shown)).toEqual([]);
    expect(
      known()
        .filter(({ parentId }) => parentId === '')
        .map(({ spanId }) => spanId),
    ).toEqual([ROOT_ID]);
  });

  test('is one turn of all its calls, each under its request', async () => {
    const named = (start: string) => known().filter(({ name }) => name.startsWith(start));
    const requests = new Set(named('loom: POST').map(({ spanId }) => spanId));
    const entries = await redis.client().xrange('loom:turns', '-', '+');
    const ended = entries.map(([, fields]) => decodeEvent(fields)).filter(({ type }) => type === 'turn.ended');

    expect([named('turn').length, requests.size, named('chat').length]).toEqual([1, 4, 4]);
    expect(named('chat').filter(({ parentId }) => !requests.has(parentId))).toEqual([]);
    expect(named('execute_tool')).toHaveLength(2);
    expect(ended.map(({ data }) => data)).toMatchObject([
      { endReason: 'end_turn', answer: 'A gate.', calls: { main: 4, retried: 1, failed: 0 } },
    ]);
  });
});
