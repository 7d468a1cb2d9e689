import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { afterAll, describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { openMetrics } from '../../src/adapters/metrics.ts';
import { hookReminder, text } from '../core/fixtures/body.ts';
import { startHarness } from '../harness.ts';
import { startRewriter } from '../scripted-rewriter.ts';
import { exchange } from '../transport/wire.ts';

const harness = await startHarness({}, async (redis) => {
  await startRewriter(redis, { name: 'scribe', profiles: ['*'] });
});
const { client, upstream } = harness;

afterAll(() => harness.close());

/** No part of a key, a file's name, a label or a channel. */
const hostile: [name: string, id: string][] = [
  ['a line break', 'a\r\nDEL loom:requests'],
  ['a NUL', 'a\0b'],
  ['a colon', 'a:profile'],
  ['a pattern', 'loom:*'],
  ['a range', '[a-z]?'],
  ['the prototype', '__proto__'],
  ['a path upwards', '../../etc/passwd'],
  ['a slash', 'a/b'],
  ['a dot', '.'],
  ['an option', '--help'],
  ['a blank', 'a b'],
  ['nothing', ''],
  ['a label', 'a"} 1\nloom_evil{b="'],
  ['an escape', '\u001b]0;mine\u0007'],
  ['an escape of eight bits', '\u009b2J'],
  ['a change of direction', '\u202etxt.exe'],
  ['a full width letter', '\uff41'],
  ['half a character', '\ud800'],
  ['129 characters', 'x'.repeat(129)],
  ['a megabyte', 'x'.repeat(1_048_576)],
];
/** What Node lets a client send as a header. */
const inHeaders = hostile.filter(([, id]) => /^[\t\x20-\x7e\x80-\xff]*$/.test(id) && id.length < 1_000);

const SAFE_KEY = /^loom:[a-zA-Z0-9:_-]+$/;
const Q = { role: 'user', content: [text('Who am I?')] };
let requests = 0;

/** Sends a Messages request and waits for what is told about it; no key, label or word of Loom's own is the client's. */
async function send(
  headers: string[],
  body: object,
): Promise<{ subject: string; promptId?: unknown; agentId?: unknown; profile: string; model: string | null }> {
  requests += 1;
  const seen = upstream.requests.length;
  const json = JSON.stringify({ model: 'm', messages: [Q], tools: [{}], ...body });
  const { status } = await exchange(harness.gateway.url, { headers, body: json });
  const ended = await harness.eventsWhen('requests', 'request.received', requests);
  await harness.eventsWhen('responses', 'response.completed', requests);

  expect([status, upstream.requests.length]).toEqual([200, seen + 1]);
  expect((await client.keys('*')).filter((key) => !SAFE_KEY.test(key))).toEqual([]);
  const { subject, data } = ended.at(-1) as (typeof ended)[number];
  const { promptId, agentId, profile, model } = data;
  return { subject, promptId, agentId, profile, model };
}

describe('an id that could mean something else', () => {
  test.each(inHeaders)('is no session where a header says it: %s', async (_, id) => {
    const told = await send(['x-claude-code-session-id', id, 'x-session-id', id, 'x-loom-profile', 'alpha'], {});

    expect([told.subject, told.profile]).toEqual(['', 'alpha']);
  });

  test.each(hostile)('is no session where the body says it, nor a profile: %s', async (_, id) => {
    const user = { user_id: JSON.stringify({ session_id: id, device_id: '__proto__' }) };
    const block = text(hookReminder(formatMetadata({ session_id: id.slice(0, 200), source: id.slice(0, 200) })));
    const told = await send([], { metadata: user, messages: [{ role: 'user', content: [block, ...Q.content] }] });

    expect([told.subject, told.profile]).toEqual(['', 'passthrough']);
  });

  test.each(inHeaders)('is no profile where a header says it: %s', async (_, id) => {
    expect((await send(['x-loom-profile', id], {})).profile).toBe('passthrough');
  });

  test('is no session where two headers say two', async () => {
    const told = await send(['x-claude-code-session-id', 'one', 'X-Claude-Code-Session-Id', 'two'], {});

    expect(told.subject).toBe('');
  });

  test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    'is a session like any other where it is one: %s',
    async (id) => {
      const told = await send(
        ['x-claude-code-session-id', id, 'x-claude-code-agent-id', id, 'x-loom-profile', 'constructor'],
        {},
      );

      expect(told).toEqual({ subject: id, promptId: undefined, agentId: id, profile: 'constructor', model: 'm' });
    },
  );

  test.each(inHeaders.filter(([, id]) => !/^[\x20-\x7e]{0,200}$/.test(id)))(
    'is no agent and no prompt: %s',
    async (_, id) => {
      const told = await send(['x-claude-code-agent-id', id, 'x-claude-code-prompt-id', id], {});

      expect([told.agentId, told.promptId]).toEqual([undefined, undefined]);
    },
  );

  test.each([
    ...[
      '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01',
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x',
    ],
    ...[
      '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
      'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    ],
    ...['__proto__', `00-${'4'.repeat(5_000)}-00f067aa0ba902b7-01`, '00-4bf92f3577b34da6a3ce929d0e0e4736'],
  ])('is no trace: %s', async (traceparent) => {
    await send(['traceparent', traceparent, 'tracestate', 'a=\u00ff', 'x-claude-code-session-id', 's'], {});
    const events = await harness.events('requests', 'request.received');

    expect(events.at(-1)?.traceparent).toMatch(/^00-(?!0{32}|4{32}|4bf92f3577b34da6)[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  });

  test('is no model when it is longer than any', async () => {
    expect((await send([], { model: 'x'.repeat(1_048_576) })).model).toBeNull();
  });

  test('stands in no metric, and none has more series than a scrape can hold', async () => {
    const own = await (await fetch(`${harness.gateway.adminUrl}/metrics`)).text();
    const metrics = openMetrics();
    for (let at = 0; at < 5_000; at++) metrics.requests.add(1, { class: 'main', profile: `p${at}` });
    const server = createServer((request, response) => metrics.exporter.getMetricsRequestHandler(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const many = await textOf(
      (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).body as never,
    );
    server.close();

    const LINE = /^(?:# .*|[a-z_]+(?:\{(?:[a-z_]+="[\w.:/+-]*",?)*\})? [\d.e+-]+(?: \d+)?|)$/i;
    expect(own.split('\n').filter((line) => !LINE.test(line))).toEqual([]);
    expect(many.split('\n').filter((line) => line.startsWith('loom_requests_total')).length).toBeLessThanOrEqual(2_001);
  });
});
