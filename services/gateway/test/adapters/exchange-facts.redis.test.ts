import { afterAll, describe, expect, test } from '@jest/globals';
import type { LoomEvent } from '@loom/shared/event.ts';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { findTraceParent } from '@loom/shared/trace-context.ts';
import { startHarness } from '../harness.ts';

const TRACE = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', rootSpanId: '00f067aa0ba902b7' };
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const LIMITS = {
  'anthropic-ratelimit-unified-5h-utilization': '0.310',
  'anthropic-ratelimit-unified-5h-reset': '1764000000',
  'anthropic-ratelimit-unified-7d-utilization': '',
};

const harness = await startHarness();
harness.upstream.script = answer({ text: 'Hello.', headers: LIMITS });
afterAll(() => harness.close());

async function send(request: ClientRequest, headers: Record<string, string> = {}): Promise<void> {
  const { path, headers: own, body } = request;
  await (await harness.send(path, { headers: { ...own, ...headers }, body: body.toString() })).text();
}

interface Told {
  received: LoomEvent<'request.received'>;
  forwarded: LoomEvent<'request.forwarded'>;
  completed: LoomEvent<'response.completed'>;
}

/** The events of a session's exchanges, in order. */
async function told(session: string, count: number): Promise<Told[]> {
  const find = async () => {
    const own = ({ subject }: LoomEvent) => subject === session;
    const received = (await harness.events('requests', 'request.received')).filter(own);
    const forwarded = (await harness.events('responses', 'request.forwarded')).filter(own);
    const completed = (await harness.events('responses', 'response.completed')).filter(own);
    return { received, forwarded, completed };
  };
  await until(async () => Object.values(await find()).every((events) => events.length === count));
  const { received, forwarded, completed } = await find();
  return received.map((event) => {
    const same = ({ data }: { data: { requestId: string } }) => data.requestId === event.data.requestId;
    return { received: event, forwarded: forwarded.find(same), completed: completed.find(same) } as Told;
  });
}

function hooked(session: string, hintHeaders = true): ClaudeCode {
  const traceparent = `00-${TRACE.traceId}-${TRACE.rootSpanId}-00`;
  const hook = (prompt: string) =>
    formatMetadata({
      ...{ session_id: session, traceparent, prompt, cwd: '/work/garden' },
      ...{ transcript_path: '/t.jsonl', sent_at: '2026-11-22T09:00:00.000Z', collected_ms: 12, exports_spans: true },
    });
  return new ClaudeCode({ version: '2.1.330', session, hintHeaders, hook });
}

describe('the events of an exchange', () => {
  test('say where it stands in its trace, the same in each, under a span id of its own', async () => {
    const client = hooked('placed');
    await send(client.prompt('Hello?'));
    await send(client.subagent('Count the pots.'));

    const exchanges = await told('placed', 2);

    const spanIds = exchanges.map(({ received }) => received.data.trace?.spanId);
    expect(new Set([...spanIds, TRACE.rootSpanId]).size).toBe(3);
    for (const [at, { received, forwarded, completed }] of exchanges.entries()) {
      const trace = { ...TRACE, spanId: spanIds[at], origin: at === 0 ? 'hook' : 'session' };
      expect([received, forwarded, completed].map(({ data }) => data.trace)).toEqual([trace, trace, trace]);
      // Sampled, whatever the hook said; without an SDK what is published bears the identity of the request.
      expect(findTraceParent(received.traceparent)).toEqual({
        traceId: TRACE.traceId,
        spanId: spanIds[at],
        flags: 1,
      });
    }
  });

  test('say when it happened, what went upstream, what tools gave back and who asked', async () => {
    const client = hooked('facts');
    await send(client.prompt('Hello?'));
    const message = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Bash', input: {} }] });
    await send(client.toolResults(message, ['3']), { 'x-claude-code-prev-tool-durations': 'Bash=38' });
    const agent = { 'x-claude-code-parent-agent-id': 'a0' };
    await send(client.subagent('Count the pots.'), agent);

    const [first, loop, subagent] = await told('facts', 3);

    const forwarded = harness.upstream.requests.map(({ sha256 }) => sha256);
    expect(first?.received.data.hook).toEqual({
      ...{ transcriptPath: '/t.jsonl', cwd: '/work/garden', prompt: 'Hello?' },
      ...{ sentAt: '2026-11-22T09:00:00.000Z', collectedMs: 12, exportsSpans: true },
    });
    expect(first?.forwarded.data).toMatchObject({
      ...{ capture: 'delta', startedAt: expect.stringMatching(RFC_3339) },
      ...{ forwardedAt: expect.stringMatching(RFC_3339), bodySha256: expect.any(String) },
    });
    expect(forwarded).toContain(first?.forwarded.data.bodySha256);
    expect(first?.forwarded.data).not.toHaveProperty('toolResults');
    expect(loop?.forwarded.data).toMatchObject({
      toolResults: [{ id: 'toolu_1', isError: false }],
      toolDurations: 'Bash=38',
    });
    const who = { agentId: expect.stringMatching(/^a/), agentType: 'general-purpose', parentAgentId: 'a0' };
    expect(subagent?.received.data).toMatchObject(who);
    expect(subagent?.forwarded.data).toMatchObject(who);
  });

  test.each([0, 300])('tell a long body by its hash before an answer that comes after %i ms', async (waitMs) => {
    const session = `long-${waitMs}`;
    const { script } = harness.upstream;
    harness.upstream.script = (request) => {
      const reply = answer({ text: 'Hello.' })(request);
      return { ...reply, chunks: [{ waitMs }, ...reply.chunks] };
    };
    await send(hooked(session).prompt('Hello? '.repeat(150_000)));
    harness.upstream.script = script;

    const [exchange] = await told(session, 1);

    expect(exchange?.forwarded.data.bodySha256).toBe(harness.upstream.requests.at(-1)?.sha256);
    // Ids are in the order in which events were made.
    const ids = [exchange?.received.id, exchange?.forwarded.id, exchange?.completed.id];
    expect(ids).toEqual(ids.toSorted());
  });

  test('say when the answer began to be one, and what it said of the limits', async () => {
    await send(hooked('limits').prompt('Hello?'));

    const [exchange] = await told('limits', 1);

    const { startedAt, firstByteMs, firstContentMs, durationMs, rateLimits } = exchange?.completed.data ?? {};
    expect(startedAt).toBe(exchange?.forwarded.data.startedAt);
    expect(rateLimits).toEqual(LIMITS);
    expect(firstContentMs).toBeGreaterThanOrEqual(firstByteMs ?? Number.NaN);
    expect(durationMs).toBeGreaterThanOrEqual(firstContentMs ?? Number.NaN);
    expect(await harness.metric('loom_quota_utilization', { window: '5h' })).toBe(0.31);
    expect(await harness.metric('loom_quota_utilization', { window: '7d' })).toBe(0);
  });

  test('say of a prompt without a block nothing that an earlier block said of its own prompt', async () => {
    const client = hooked('silent');
    await send(client.prompt('Hello?'));
    client.receive(messageOf({ text: 'Hello.' }));
    await send(client.bash('ls', 'gate.md'));

    const [, command] = await told('silent', 2);

    expect(command?.received.data.trace?.origin).toBe('gateway');
    expect(command?.received.data.promptId).toBeUndefined();
    expect(command?.received.data.hook).toEqual({ transcriptPath: '/t.jsonl', cwd: '/work/garden' });
  });

  test('keep an agent in the turn that it was first seen in, also where the client does not name the prompt', async () => {
    const client = new ClaudeCode({ version: '2.1.330', session: 'background' });
    await send(client.prompt('Hello?'));
    const agent = client.subagent('Count the pots.');
    await send(agent);
    client.receive(messageOf({ text: 'It is on its way.' }));
    await send(client.prompt('And now?'));
    await send(agent);
    await send(client.subagent('Count the cups.'));

    const roots = (await told('background', 5)).map(({ received }) => received.data.trace?.rootSpanId);

    const [first, , second] = roots;
    expect(roots).toEqual([first, first, second, first, second]);
    expect(first).not.toBe(second);
  });
});
