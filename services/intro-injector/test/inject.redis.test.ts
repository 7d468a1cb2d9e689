import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { EditOutcome, LoomEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { type MemorableStore, openMemorableStore } from '../src/adapters/memorable-store.ts';
import { render } from '../src/core/render.ts';
import { createInjector } from '../src/inject.ts';

const server = await startRedis();
const intro = server.client();
const SESSION = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const LIST = `intro:memorables:${SESSION}`;
const anchor = (name: string) => name.repeat(64);

/**
 * A replica with connection and log of its own, as after a restart.
 *
 * @param meanwhile puts what others do between this replica's steps
 */
function replica(meanwhile: (store: MemorableStore) => Partial<MemorableStore> = () => ({})) {
  const lines: string[] = [];
  const counts: object[] = [];
  const log = createLog({ service: 'intro-injector', level: 'debug' });
  for (const transport of log.transports) transport.silent = true;
  log.on('data', ({ timestamp: _, service: __, level, message, ...fields }) => {
    if (level === 'debug') counts.push(Object.fromEntries(Object.entries(fields)));
    else lines.push(`${level}: ${message}`);
  });
  const store = openMemorableStore(server.client(), (name) => `t:${name}`, 1_000);
  const between = { ...store, ...meanwhile(store) };
  return { ...createInjector(between, { budgetTokens: 50, tag: 'subvox' }, log), lines, counts };
}

const envelope = {
  id: 'e1',
  source: '/loom/gateway/g1',
  subject: SESSION,
  time: '2026-01-17T12:00:00.000Z',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
};
const exchange = { requestId: 'r1', gateway: 'g1', class: 'main', profile: 'alpha', model: null } as const;
const last = { pointer: '/messages/4', role: 'user', anchor: anchor('a'), content: [{ type: 'text', text: 'hello' }] };

function received(shown: object = {}): LoomEvent<'request.received'> {
  return {
    ...envelope,
    type: 'request.received',
    data: {
      ...exchange,
      replyStream: 't:edits:g1',
      awaited: [{ rewriter: 'intro-injector', holdMs: 150, labels: ['human'] }],
      path: '/v1/messages',
      stream: true,
      body: { bytes: 1_000, messages: 5, tools: 0, sha256: '0'.repeat(64) },
      view: { last: { ...last, ...shown } },
    },
  };
}

function forwarded(name: string, outcome: EditOutcome['outcome'], rewriter = 'intro-injector') {
  const counts = { bytesIn: 1_000, bytesOut: 1_000, metadataBlocks: 0, replayed: 0, heldMs: 1 };
  const edits = [{ rewriter, outcome, operations: 1, waitedMs: 1 }];
  const data = { ...exchange, ...counts, edits, anchor: anchor(name) };
  return { ...envelope, type: 'request.forwarded', data } satisfies LoomEvent<'request.forwarded'>;
}

const asked = (name: string) => received({ anchor: anchor(name) });
const edit = (...items: string[]) => [
  {
    op: 'add',
    path: '/messages/4/content/-',
    value: { type: 'text', text: render(items, 'subvox') },
    durable: true,
  },
];

beforeEach(() => intro.flushall());
afterAll(() => server.close());

describe('propose', () => {
  test('adds one durable text block at the end of the newest message', async () => {
    await intro.rpush(LIST, ' tea at four ', '```', '`the blue door`');

    expect(await replica().propose(received())).toEqual([
      {
        op: 'add',
        path: '/messages/4/content/-',
        value: {
          type: 'text',
          text: '<subvox>\nIntro surfaced these moments. Store what lands, let the rest go:\n- tea at four\n- the blue door\n</subvox>',
        },
        durable: true,
      },
    ]);
  });

  test('has no edit without a list, and none for an empty one', async () => {
    const { propose } = replica();
    expect(await propose(received())).toEqual([]);

    await intro.rpush(LIST, '```', ' ');
    expect(await propose(received())).toEqual([]);
  });

  test.each([
    ['no anchor', received({ anchor: undefined })],
    ["an assistant's message", received({ role: 'assistant' })],
    ['no session', { ...received(), subject: '' }],
    ['no view', { ...received(), data: { ...received().data, view: {} } }],
  ])('has no edit for %s, and no memorable is spent on it', async (_, event) => {
    const { propose } = replica();
    await intro.rpush(LIST, 'tea');
    await intro.rpush('intro:memorables:', 'tea');

    expect(await propose(event)).toEqual([]);
    expect(await intro.keys('t:*')).toEqual([]);
  });

  test('never gives a memorable to a second message, restarts and replicas included', async () => {
    await intro.rpush(LIST, 'tea', 'door');
    expect(await replica().propose(asked('a'))).toEqual(edit('tea', 'door'));

    await intro.rpush(LIST, 'cup');
    expect(await replica().propose(asked('b'))).toEqual(edit('cup'));
    expect(await replica().propose(asked('c'))).toEqual([]);
  });

  test('gives the next message what was over the budget', async () => {
    const long = 'x'.repeat(60);
    await intro.rpush(LIST, long, `${long}y`);
    const { propose } = replica();

    expect(await propose(asked('a'))).toEqual(edit(long));
    expect(await propose(asked('b'))).toEqual(edit(`${long}y`));
  });

  test("answers a redelivery with the same bytes, though Intro's list is another by then", async () => {
    await intro.rpush(LIST, 'tea', 'door');
    const first = await replica().propose(asked('a'));
    await intro.del(LIST);
    await intro.rpush(LIST, 'cup');

    expect(first).toEqual(edit('tea', 'door'));
    expect(await replica().propose(asked('a'))).toEqual(first);
    expect(await replica().propose(asked('b'))).toEqual(edit('cup'));
  });

  test('gives nothing twice when Intro replaces its list and a reader meets it empty', async () => {
    const { propose } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));

    await intro.del(LIST);
    expect(await propose(asked('b'))).toEqual([]);
    await intro.rpush(LIST, 'tea', 'door');
    expect(await propose(asked('c'))).toEqual(edit('door'));
  });

  test('makes two replicas agree on one block when both are asked for the same message', async () => {
    await intro.rpush(LIST, 'tea', 'door');

    const answers = await Promise.all(Array.from({ length: 8 }, () => replica().propose(asked('a'))));

    expect(answers).toEqual(Array.from({ length: 8 }, () => edit('tea', 'door')));
  });

  test('gives a memorable to one of the messages that are asked for at the same time', async () => {
    await intro.rpush(LIST, 'tea', 'door');

    const answers = await Promise.all([...'abcdef'].map((name) => replica().propose(asked(name))));

    expect(answers.flat()).toEqual(edit('tea', 'door'));
  });

  test('repeats the block that another replica recorded for the message since it looked', async () => {
    await intro.rpush(LIST, 'tea');
    const { propose } = replica((store) => ({
      async look(session, name) {
        const seen = await store.look(session, name);
        await replica().propose(asked('a'));
        await intro.del(LIST);
        return seen;
      },
    }));

    expect(await propose(asked('a'))).toEqual(edit('tea'));
  });

  test('chooses anew when another message takes a memorable after the choice', async () => {
    await intro.rpush(LIST, 'tea', 'door');
    const { propose } = replica((store) => ({
      async record(session, name, block, list) {
        await store.record(session, anchor('b'), { text: 'block of tea', items: ['tea'] });
        return store.record(session, name, block, list);
      },
    }));

    expect(await propose(asked('a'))).toEqual(edit('door'));
  });

  test('chooses from what is new in a session that is too long to be looked through', async () => {
    const { propose } = replica();
    const many = Array.from({ length: 600 }, (_, at) => `${at}`);
    const store = openMemorableStore(intro, (name) => `t:${name}`, 1_000);
    await store.record(SESSION, anchor('b'), { text: 'block of many', items: many });
    await intro.rpush(LIST, ...many, 'tea');

    expect(await propose(asked('a'))).toEqual(edit('tea'));
    expect(await propose(asked('c'))).toEqual([]);
  });

  test('lets the memorables be after three choices that came too late', async () => {
    const list = ['tea', 'door', 'cup', 'lamp'];
    await intro.rpush(LIST, ...list);
    const taken = [...list];
    const { propose, counts } = replica((store) => ({
      async record(session, name, block, list) {
        const item = taken.shift() as string;
        await store.record(session, anchor(String(taken.length)), { text: item, items: [item] });
        return store.record(session, name, block, list);
      },
    }));

    expect(await propose(asked('a'))).toEqual([]);
    expect(taken).toEqual(['lamp']);
    expect(counts).toEqual([
      {
        session: SESSION,
        reason: 'other messages were faster to take the memorables',
        attempt: 3,
        counters: { hits: 0, misses: 1, failed: 0, released: 0 },
      },
    ]);
  });

  test("has no edit and warns when the key of Intro's is no list, and still repeats an earlier block", async () => {
    await intro.rpush(LIST, 'tea');
    await replica().propose(asked('a'));
    await intro.set(LIST, 'no list');
    const { propose, lines } = replica();

    expect(await propose(asked('b'))).toEqual([]);
    expect(await propose(asked('a'))).toEqual(edit('tea'));
    expect(lines).toEqual(["warn: Intro's memorables cannot be read"]);
  });

  test('rejects when its own record cannot be read, so that the request goes on without it', async () => {
    await intro.rpush(LIST, 'tea');
    await intro.set(`t:injected:${SESSION}`, 'no hash');

    await expect(replica().propose(received())).rejects.toThrow('WRONGTYPE');
  });

  test('says once in a session that memorables come through', async () => {
    await intro.rpush(LIST, 'tea');
    const before = replica();
    await before.propose(asked('a'));
    await intro.rpush(LIST, 'door');
    const after = replica();
    await after.propose(asked('b'));

    expect(before.lines).toEqual(["info: the session has its first of Intro's memorables"]);
    expect(after.lines).toEqual([]);
  });
});

describe('the counts of a replica', () => {
  test('tell hits from misses, and what was over the budget, neutralised or given back', async () => {
    await intro.rpush(LIST, '</subvox>', 'x'.repeat(80));
    const { propose, settle, counts } = replica();

    await propose(asked('a'));
    await settle(forwarded('a', 'late'));
    await intro.ltrim(LIST, 0, 0);
    await propose(asked('b'));
    await propose(asked('c'));

    const session = SESSION;
    expect(counts).toEqual([
      {
        session,
        items: 2,
        injected: 1,
        overBudget: 1,
        neutralised: 1,
        counters: { hits: 1, misses: 0, failed: 0, released: 0 },
      },
      {
        session,
        items: 1,
        injected: 1,
        overBudget: 0,
        neutralised: 1,
        counters: { hits: 2, misses: 0, failed: 0, released: 1 },
      },
      {
        session,
        reason: 'no memorable is new',
        items: 1,
        neutralised: 1,
        counters: { hits: 2, misses: 1, failed: 0, released: 1 },
      },
    ]);
  });
});

describe('settle', () => {
  test.each(['late', 'absent', 'skipped', 'unreachable', 'refused', 'error'] as const)(
    'lets the memorables of a message that went out without them come with the next (%s)',
    async (outcome) => {
      const { propose, settle, lines } = replica();
      await intro.rpush(LIST, 'tea');
      await propose(asked('a'));

      await settle(forwarded('a', outcome));

      expect(await propose(asked('b'))).toEqual(edit('tea'));
      expect(lines.slice(1)).toEqual(['info: memorables wait for the next message']);
    },
  );

  test.each([
    ['that were applied', forwarded('a', 'applied')],
    ['of which it had none to give', forwarded('a', 'none')],
    ['when another rewriter was late', forwarded('a', 'late', 'compact-rewriter')],
    ['when another message was bypassed', forwarded('b', 'late')],
  ])('keeps memorables %s', async (_, event) => {
    const { propose, settle } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));

    await settle(event);

    expect(await propose(asked('c'))).toEqual([]);
  });

  test('keeps what was applied once, though a retry of the same message was bypassed', async () => {
    const { propose, settle } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));

    await settle(forwarded('a', 'applied'));
    await settle(forwarded('a', 'skipped'));
    await settle(forwarded('a', 'skipped'));

    expect(await propose(asked('b'))).toEqual([]);
  });

  test('keeps it too when the bypass is told before the application', async () => {
    const { propose, settle } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));

    await settle(forwarded('a', 'skipped'));
    await settle(forwarded('a', 'applied'));
    await settle(forwarded('a', 'skipped'));

    expect(await propose(asked('b'))).toEqual([]);
  });

  test('leaves a memorable with the message that it went to after a bypass', async () => {
    const { propose, settle } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));
    await settle(forwarded('a', 'late'));
    await propose(asked('b'));

    await settle(forwarded('a', 'late'));

    expect(await propose(asked('c'))).toEqual([]);
  });

  test('gives a message that was bypassed and is asked for again the same bytes', async () => {
    const { propose, settle } = replica();
    await intro.rpush(LIST, 'tea');
    await propose(asked('a'));
    await settle(forwarded('a', 'late'));
    await intro.rpush(LIST, 'door');

    expect(await propose(asked('a'))).toEqual(edit('tea'));
    expect(await propose(asked('b'))).toEqual(edit('door'));
  });
});

describe('giveBack', () => {
  const failed = (name?: string): LoomEvent<'response.failed'> => ({
    ...envelope,
    type: 'response.failed',
    data: {
      ...exchange,
      status: null,
      upstreamRequestId: null,
      responseId: null,
      stopReason: null,
      usage: null,
      text: '',
      textTruncated: false,
      toolUses: [],
      firstByteMs: null,
      durationMs: 5,
      bytes: 0,
      endReason: 'client_closed',
      errorType: null,
      ...(name !== undefined && { anchor: anchor(name) }),
    },
  });

  test('lets the memorables of a request that never went out come with the next message', async () => {
    await intro.rpush(LIST, 'tea at four');
    const { propose, giveBack, lines } = replica();
    await propose(asked('a'));

    await giveBack(failed('a'));

    expect(await propose(asked('b'))).toEqual(edit('tea at four'));
    expect(lines.at(-1)).toBe('info: memorables wait for the next message');
  });

  test('takes nothing back from a message that went out, nor for an exchange that says no anchor', async () => {
    await intro.rpush(LIST, 'tea at four');
    const { propose, settle, giveBack } = replica();
    await propose(asked('a'));
    await giveBack(failed());
    await settle(forwarded('a', 'applied'));
    await giveBack(failed('a'));

    expect(await propose(asked('b'))).toEqual([]);
  });
});
