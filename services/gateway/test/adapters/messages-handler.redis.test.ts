import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { until } from '@loom/shared/testing/until.ts';
import { alphaRequest } from '../alpha.ts';
import { type Harness, startHarness } from '../harness.ts';

const TRACES = ['4bf92f3577b34da6a3ce929d0e0e4736', '0af7651916cd43dd8448eb211c80319c'];

let harness: Harness;

beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness.close());

/** A client whose hook gives each prompt the next trace. */
function tracedClient(): ClaudeCode {
  let prompts = 0;
  const traceparent = () => `00-${TRACES[prompts++]}-00f067aa0ba902b7-01`;
  const hook = (_: string, session: string) =>
    formatMetadata({ session_id: session, traceparent: traceparent(), source: 'alpha' });
  return new ClaudeCode({ version: '2.1.118', hook });
}

async function send(request: ClientRequest): Promise<void> {
  const { path, headers, body } = request;
  await (await harness.send(path, { headers, body: body.toString() })).text();
}

/** Class and trace of every request on the stream. */
async function received(count: number): Promise<(string | undefined)[][]> {
  const events = await harness.eventsWhen('requests', 'request.received', count);
  return events.map(({ data, traceparent }) => [data.class, traceparent.split('-')[1]]);
}

describe('MessagesHandler', () => {
  test('publishes one request for each exchange, in the trace of its own metadata, also when nobody is awaited', async () => {
    const client = tracedClient();
    await send(client.prompt('Good evening.'));
    client.receive(messageOf({ text: 'Hello.' }));
    await send(client.prompt('And now?'));

    expect(await received(2)).toEqual([
      ['main', TRACES[0]],
      ['main', TRACES[1]],
    ]);
    const awaited = (await harness.events('requests', 'request.received')).map(({ data }) => data.awaited);
    expect(awaited).toEqual([[], []]);
  });

  test("puts a request without metadata into its session's newest trace, also after a restart", async () => {
    const client = tracedClient();
    await send(client.prompt('Good evening.'));
    await send(client.subagent('Look into the garden.'));
    await until(() => harness.client.hlen(`loom:session:${client.session}`));
    await harness.restartGateway();
    await send(client.subagent('Look behind the gate.'));

    expect(await received(3)).toEqual([
      ['main', TRACES[0]],
      ['subagent', TRACES[0]],
      ['subagent', TRACES[0]],
    ]);
  });

  test('knows the profile of a session while Redis is away, for requests that do not name it, and stores it afterwards', async () => {
    await harness.redis.kill();
    const named = alphaRequest('s1', 'Good evening.');
    const { 'x-loom-profile': _, ...headers } = named.headers;
    await harness.send('/v1/messages', named);
    await harness.send('/v1/messages', { ...named, headers });
    await harness.redis.start();

    const events = await harness.eventsWhen('requests', 'request.received', 2);
    expect(events.map(({ data }) => data.profile)).toEqual(['alpha', 'alpha']);
    await until(async () => (await harness.client.hget('loom:session:s1', 'profile')) === 'alpha');
  });

  test('publishes a request that it cannot follow, and forwards it as it came', async () => {
    const { headers } = alphaRequest('s1', '');
    await harness.send('/v1/messages', { headers, body: '{"messages": [' });

    expect(await received(1)).toHaveLength(1);
    expect(harness.upstream.requests[0]?.body.toString()).toBe('{"messages": [');
    expect(await harness.metric('loom_bodies_unfollowable_total')).toBe(1);
  });
});
