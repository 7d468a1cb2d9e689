import { afterAll, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { Streams } from '@loom/shared/streams.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { Captures } from '../../src/adapters/captures.ts';
import { EventPublisher } from '../../src/adapters/event-publisher.ts';
import { Leisure } from '../../src/adapters/leisure.ts';
import { openMetrics } from '../../src/adapters/metrics.ts';
import { Spool } from '../../src/adapters/spool.ts';
import type { Sha256 } from '../../src/core/anchor.ts';
import { readRequest } from '../../src/core/messages-request.ts';
import { alphaRequest } from '../alpha.ts';
import { acceptAll, metadataLine, sha256, user } from '../core/fixtures/body.ts';
import { type Harness, startHarness } from '../harness.ts';
import { log } from '../quiet-log.ts';

const started: Harness[] = [];
afterAll(() => Promise.all(started.map((harness) => harness.close())));

async function start(environment: Record<string, string> = {}): Promise<Harness> {
  const harness = await startHarness(environment);
  started.push(harness);
  return harness;
}

const SAYS = {
  thinking: 'Hm.',
  text: 'It is PRJ-123456.',
  toolUses: [{ id: 'toolu_1', name: 'Read', input: { a: 1 } }],
};

async function send(harness: Harness, { path, headers, body }: ClientRequest): Promise<void> {
  await (await harness.send(path, { headers, body: body.toString() })).text();
}

describe('exchange.captured', () => {
  test('shows what was new in a request as it went upstream, and the answer, redacted', async () => {
    const harness = await start({ LOOM_REDACT: 'PRJ-\\d{6}\n\\bhunter2\\b' });
    harness.upstream.script = answer(SAYS);
    const client = new ClaudeCode({
      ...{ version: '2.1.330', session: 's1', apiKey: 'sk-ant-a-key' },
      hook: (prompt, session) => metadataLine({ session_id: session, prompt, source: 'alpha' }),
    });
    await send(harness, client.prompt('What is it? Not hunter2.'));
    await send(harness, client.toolResults(messageOf(SAYS), [metadataLine()]));

    const [, loop] = await harness.eventsWhen('captures', 'exchange.captured', 2);

    const [, completed] = await harness.eventsWhen('responses', 'response.completed', 2);
    const { requestId, gateway, model, trace } = completed?.data ?? {};
    expect(loop?.data).toEqual({
      ...{ requestId, gateway, model, trace, class: 'main', profile: 'alpha', capture: 'delta' },
      input: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: '[metadata]' }] }],
      inputOmitted: 3,
      parameters: {
        ...{ max_tokens: 128_000, output_config: { effort: 'high' }, thinking: { type: 'adaptive' } },
        context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      },
      output: [
        { type: 'thinking', thinking: 'Hm.' },
        { type: 'text', text: 'It is [redacted].' },
        { type: 'tool_use', id: 'toolu_1', name: 'Read', input: { a: 1 } },
      ],
      truncated: false,
    });
    const dump = JSON.stringify(await harness.client.xrange('loom:captures', '-', '+'));
    expect(dump).toContain('What is it? Not [redacted].');
    for (const secret of ['PRJ-', 'hunter2', 'sk-ant', CANARY, 'device_id']) expect(dump).not.toContain(secret);
    expect(await harness.metric('loom_captures_total', { outcome: 'published' })).toBe(2);
  });

  test.each(['none', 'metadata'])('is not published with LOOM_CAPTURE=%s, and the events say so', async (mode) => {
    const harness = await start({ LOOM_CAPTURE: mode });
    await (await harness.send('/v1/messages', alphaRequest('s1', 'Hello?'))).text();

    const [received] = await harness.eventsWhen('requests', 'request.received', 1);
    const [forwarded] = await harness.eventsWhen('responses', 'request.forwarded', 1);
    await harness.eventsWhen('responses', 'response.completed', 1);

    expect([received?.data.capture, forwarded?.data.capture]).toEqual([mode, mode]);
    expect(await harness.client.exists('loom:captures')).toBe(0);
  });

  test('is dropped and counted while Redis is away, never kept for later', async () => {
    const harness = await start();
    await harness.redis.kill();
    await (await harness.send('/v1/messages', alphaRequest('s1', 'Hello?'))).text();
    await until(async () => (await harness.metric('loom_captures_total', { outcome: 'dropped' })) === 1);
    await harness.redis.start();

    await harness.eventsWhen('responses', 'response.completed', 1);

    expect(await harness.client.exists('loom:captures')).toBe(0);
  });

  test('is not published of what only counts tokens', async () => {
    const harness = await start();
    await harness.send('/v1/messages/count_tokens', alphaRequest('s1', 'Hello?'));
    await (await harness.send('/v1/messages', alphaRequest('s2', 'Hello?'))).text();

    const captured = await harness.eventsWhen('captures', 'exchange.captured', 1);

    expect(captured.map(({ subject }) => subject)).toEqual(['s2']);
  });
});

describe('Captures', () => {
  const exchange = { requestId: 'r1', gateway: 'g1', class: 'main', profile: 'alpha', model: null } as const;

  async function open(hash: Sha256) {
    const harness = await start();
    const metrics = openMetrics();
    const streams = new Streams({ url: harness.redis.url, prefix: 'loom', source: '/test', log });
    await until(() => streams.connected);
    const spool = new Spool({ folder: harness.spoolFolder, maxBytes: 1_000_000, log });
    const publisher = new EventPublisher({ streams, spool, metrics, log, gateway: 'g1' });
    const captures = new Captures(
      { mode: 'delta', redact: [], sha256: hash },
      { publisher, leisure: new Leisure(), metrics, log },
    );
    return {
      ...{ harness, captures },
      take(block: object) {
        const read = readRequest(Buffer.from(JSON.stringify({ messages: [user(block)] })), {}, acceptAll);
        captures.take({ read, output: undefined, exchange, subject: 's1' }, ROOT_CONTEXT);
      },
      async counts() {
        const { resourceMetrics } = await metrics.exporter.collect();
        const counted = resourceMetrics.scopeMetrics
          .flatMap((scope) => scope.metrics)
          .find(({ descriptor }) => descriptor.name === 'loom.captures');
        const points = counted?.dataPoints.map(({ attributes, value }) => [attributes['outcome'], value]) ?? [];
        return Object.fromEntries(points) as Record<string, unknown>;
      },
      async close() {
        await publisher.close();
        streams.close();
      },
    };
  }

  test('counts a capture that fails, and harms nothing else', async () => {
    const { harness, captures, take, counts, close } = await open(() => {
      throw new TypeError('a bug');
    });
    take({ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } });
    take({ type: 'text', text: 'Tea?' });
    await captures.close();

    const captured = await harness.events('captures', 'exchange.captured');
    expect(captured.map(({ data }) => data.input)).toEqual([[user({ type: 'text', text: 'Tea?' })]]);
    expect(await counts()).toEqual({ failed: 1, published: 1 });
    await close();
  });

  test.each([
    ['64 MB of bodies', 'x'.repeat(16 * 1_024 * 1_024), 3],
    ['1,024 exchanges', 'Tea?', 1_024],
  ])('lets no more than %s wait, drops what is over, and takes the next one again', async (_, text, room) => {
    const { captures, take, counts, close } = await open(sha256);
    for (let at = 0; at < room + 2; at++) take({ type: 'text', text });
    await captures.close();
    const atOnce = await counts();
    take({ type: 'text', text });
    await captures.close();

    expect(atOnce).toEqual({ published: room, dropped: 2 });
    expect(await counts()).toEqual({ published: room + 1, dropped: 2 });
    await close();
  });
});
