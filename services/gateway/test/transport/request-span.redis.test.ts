import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { decodeEvent } from '@loom/shared/event.ts';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { type ReceivedSpan, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { hang } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { startRewriter } from '../scripted-rewriter.ts';
import { startGatewayProcess } from './gateway-process.ts';
import { open } from './wire.ts';

const redis = await startRedis();
const upstream = await startUpstream();
const collector = await startOtlpReceiver();
const spool = await mkdtemp(join(tmpdir(), 'loom-spool-'));
const environment = {
  ...{ REDIS_URL: redis.url, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: spool },
  ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SERVICE_NAME: 'gateway' },
};
await startRewriter(redis, { name: 'scribe', profiles: ['edited'] });
const gateway = await startGatewayProcess(environment);
afterAll(async () => {
  await gateway.stop();
  await collector.close();
  await upstream.close();
  await redis.close();
  await rm(spool, { recursive: true, force: true });
});

const TURN = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', rootSpanId: '00f067aa0ba902b7' };
const CLIENT = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
/** Not sampled: nothing may be lost of it. */
const traceparent = `00-${CLIENT.traceId}-${CLIENT.spanId}-00`;

async function send({ path, ...init }: ClientRequest, headers: Record<string, string> = {}): Promise<void> {
  await (await fetch(gateway.url + path, { ...init, headers: { ...init.headers, ...headers } })).text();
}

/** The request spans of a session, in order. */
async function spansOf(session: string, count: number): Promise<ReceivedSpan[]> {
  const isOf = (attributes: ReceivedSpan['attributes']) =>
    [attributes['session.id'], attributes['loom.session.id']].includes(session);
  const find = () => collector.spans.filter(({ kind, attributes }) => kind === 2 && isOf(attributes));
  await until(() => find().length === count);
  return find();
}

function hooked(session: string): ClaudeCode {
  const hook = (prompt: string) =>
    formatMetadata({ session_id: session, traceparent: `00-${TURN.traceId}-${TURN.rootSpanId}-00`, prompt });
  return new ClaudeCode({ version: '2.1.330', session, hintHeaders: true, hook });
}

/** Asks nothing: a request would be held by the upstream, and hold up the gateway's stop. */
function isRefused(url: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('connect', () => {
    socket.destroy();
    resolve(false);
  });
  socket.on('error', () => resolve(true));
  return promise;
}

describe('the request span', () => {
  test('hangs under the turn that the hook named, and links the client’s own span', async () => {
    const client = hooked('hooked');
    await send(client.prompt('Hello?'), { traceparent });

    const [span] = await spansOf('hooked', 1);

    expect(span).toMatchObject({
      ...{ service: 'gateway', name: 'loom: POST /v1/messages', traceId: TURN.traceId, status: 0 },
      parentId: turnSpanIdOf(TURN.traceId, TURN.rootSpanId),
      linkedIds: [CLIENT.spanId],
      attributes: {
        ...{ 'openinference.span.kind': 'CHAIN', 'session.id': 'hooked', 'loom.trace.origin': 'hook' },
        ...{ 'loom.turn.id': `${TURN.traceId}-${TURN.rootSpanId}`, 'loom.request.class': 'main' },
        ...{ 'loom.end.reason': 'complete', 'anthropic.request_id': 'req_01Scripted000001' },
      },
    });
    expect(Object.keys(span?.attributes ?? {})).toEqual(
      expect.arrayContaining([
        ...['loom.request.bytes', 'loom.forwarded.bytes', 'loom.response.bytes', 'loom.hold.ms'],
        ...['loom.ledger.replayed', 'loom.metadata.blocks', 'http.response.status_code'],
      ]),
    );
    expect(Object.keys(span?.attributes ?? {}).filter((name) => name.startsWith('gen_ai.'))).toEqual([]);
  });

  test('is told of, with what it links, by the events of the request', async () => {
    await send(hooked('told').prompt('Hello?'), { traceparent });
    const [span] = await spansOf('told', 1);

    const entries = await redis.client().xrange('loom:requests', '-', '+');
    const told = entries.map(([, fields]) => decodeEvent(fields)).find(({ subject }) => subject === 'told');

    expect(told?.type === 'request.received' && told.data.trace).toEqual({
      ...TURN,
      spanId: span?.spanId,
      origin: 'hook',
      link: CLIENT,
    });
  });

  test('makes no spans of what the gateway keeps in Redis for itself', async () => {
    // With a profile the ledger is asked.
    await send(hooked('kept').prompt('Hello?'), { 'x-loom-profile': 'alpha' });
    const [span] = await spansOf('kept', 1);
    await until(() => collector.spans.filter(({ parentId }) => parentId === span?.spanId).length === 4);

    expect(collector.spans.filter(({ attributes }) => 'db.query.text' in attributes)).toEqual([]);
  });

  test('hangs under the agent that sends it, and says when the conversation is compacted', async () => {
    const client = hooked('agents');
    await send(client.prompt('Hello?'));
    const request = client.subagent('Count the pots.');
    await send(request);
    client.receive(messageOf({ text: 'Hello.' }));
    await send(client.compact({ trigger: 'manual' }));

    const [, subagent, compaction] = await spansOf('agents', 3);

    const agentId = String(request.headers['x-claude-code-agent-id']);
    expect([subagent?.traceId, subagent?.parentId]).toEqual([
      TURN.traceId,
      agentSpanIdOf(TURN.traceId, TURN.rootSpanId, agentId),
    ]);
    expect(compaction?.parentId).toBe(turnSpanIdOf(TURN.traceId, TURN.rootSpanId));
    expect(compaction?.attributes).toMatchObject({ 'loom.compact.phase': 'summary' });
    expect(Object.keys(compaction?.attributes ?? {})).toContain('gen_ai.conversation.compacted');
  });

  test('hangs under the client’s own span where no hook speaks', async () => {
    await send(new ClaudeCode({ version: '2.1.330', session: 'traced' }).prompt('Hello?'), { traceparent });

    const [span] = await spansOf('traced', 1);

    expect(span).toMatchObject({ traceId: CLIENT.traceId, parentId: CLIENT.spanId, linkedIds: [] });
    expect(span?.attributes['loom.turn.id']).toMatch(new RegExp(`^${CLIENT.traceId}-[0-9a-f]{16}$`));
  });

  test('hangs under a turn that is derived where nobody speaks, whatever stands for a traceparent', async () => {
    const request = new ClaudeCode({ version: '2.1.330', session: 'silent' }).prompt('Hello?');
    await send(request, { traceparent: '00-0-0-01' });
    await send(request);

    const [first, retry] = await spansOf('silent', 2);

    const [traceId = '', rootSpanId = ''] = String(first?.attributes['loom.turn.id']).split('-');
    expect([first, retry].map((span) => [span?.traceId, span?.parentId])).toEqual([
      [traceId, turnSpanIdOf(traceId, rootSpanId)],
      [traceId, turnSpanIdOf(traceId, rootSpanId)],
    ]);
  });

  test('is the root of a trace where a request belongs to no turn', async () => {
    await send(new ClaudeCode({ version: '2.1.330', session: 'untold' }).title());

    const [span] = await spansOf('untold', 1);

    expect([span?.parentId, span?.attributes['loom.turn.id'], span?.attributes['loom.trace.origin']]).toEqual([
      ...['', undefined, 'none'],
    ]);
    // Phoenix would show the session by this root, which has neither question nor answer.
    expect(span?.attributes['session.id']).toBeUndefined();
  });

  test('has below it what was published, which stays out of Phoenix', async () => {
    await send(hooked('published').prompt('Hello?'));
    const [request] = await spansOf('published', 1);

    const below = () => collector.spans.filter(({ parentId }) => parentId === request?.spanId);
    await until(() => below().length === 4);

    expect(
      below()
        .map(({ name, attributes }) => [name, attributes['openinference.span.kind']])
        .sort(),
    ).toEqual([
      ['send loom:captures', undefined],
      ['send loom:requests', undefined],
      ['send loom:responses', undefined],
      ['send loom:responses', undefined],
    ]);
  });

  test('says of each rewriter what it was asked for, what became of it, and how many bytes it changed', async () => {
    await send(hooked('edited').prompt('Hello?'), { 'x-loom-profile': 'edited' });

    const [span] = await spansOf('edited', 1);

    const names = Object.keys(span?.attributes ?? {}).filter((name) => name.startsWith('loom.edit.'));
    expect(names.sort()).toEqual([
      'loom.edit.scribe',
      ...['loom.edit.scribe.bytes_after', 'loom.edit.scribe.bytes_before', 'loom.edit.scribe.labels'],
    ]);
  });

  test('has all that was published below it, also when the client leaves a gateway that stops', async () => {
    const stopping = await startGatewayProcess(environment);
    upstream.script = hang;
    const { path, headers, body } = hooked('left').prompt('Hello?');
    const { request, answered } = open(stopping.url, { path, headers: Object.entries(headers).flat(), body });
    await upstream.waitFor(upstream.requests.length + 1);
    const stopped = stopping.stop();
    await until(() => isRefused(stopping.url));

    request.destroy();
    await answered.catch(() => {});
    await stopped;

    const [span] = await spansOf('left', 1);
    const below = collector.spans.filter(({ parentId }) => parentId === span?.spanId);
    expect(below.map(({ name }) => name).sort()).toEqual([
      ...['send loom:captures', 'send loom:requests', 'send loom:responses', 'send loom:responses'],
    ]);
  });
});
