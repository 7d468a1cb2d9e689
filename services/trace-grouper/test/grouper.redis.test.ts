import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { TurnSummary } from '@loom/shared/turn-summary.ts';
import { type Bed, type Collector, openBed, startCollector } from './bed.ts';
import { BEGIN, drafts, KEY, line, type Scene, SESSION, STOPPED, TRACE } from './story.ts';

let server: RedisServer;
let collector: Collector;
let bed: Bed;

beforeAll(async () => {
  [server, collector] = await Promise.all([startRedis(), startCollector()]);
});
afterAll(async () => {
  await collector.close();
  await server.close();
});
beforeEach(async () => {
  collector.spans.length = 0;
  bed = await openBed(server, collector);
});
afterEach(() => bed.close());

const hook = { prompt: 'Mend the gate.', sentAt: '2026-11-22T08:59:59.900Z', collectedMs: 20 };
const bash = { stopReason: 'tool_use', toolUses: [{ id: 't1', name: 'Bash' }] };
const failure = { endReason: 'upstream_error', errorType: 'overloaded_error' } as const;
const brought = { toolResults: [{ id: 't1', isError: false }] };
const names = () => collector.spans.map(({ name }) => name).sort();

/** The trace of another turn, or of an exchange of its own. */
function trace(digit: string, origin: 'hook' | 'gateway' | 'session' | 'none' = 'hook') {
  return { traceId: digit.repeat(32), rootSpanId: digit.repeat(16), origin };
}

describe('the grouper', () => {
  test('makes one turn of its calls, tells of it, and sends its spans once', async () => {
    await bed.start();
    const usage = { input_tokens: 3, cache_read_input_tokens: 97, output_tokens: 5 };

    await bed.publish(
      ...drafts('r1', { hook, body: 'c', failure }),
      ...drafts('r2', { at: 2_000, hook, body: 'c', ...bash, usage }),
      ...drafts('r3', { at: 5_000, text: 'Mended.', usage, ...brought }),
    );
    const [ended, ...others] = await bed.ended(1);

    const facts = {
      turn: `${TRACE.traceId}-${TRACE.rootSpanId}`,
      ...TRACE,
      origin: 'hook',
      profile: 'alpha',
      prompt: 'Mend the gate.',
      startedAt: '2026-11-22T09:00:00.000Z',
    };
    expect(others).toEqual([]);
    expect(ended?.data).toEqual({
      ...facts,
      endedAt: '2026-11-22T09:00:06.000Z',
      durationMs: 6_000,
      endReason: 'end_turn',
      answer: 'Mended.',
      models: ['claude-opus-5-5'],
      calls: { main: 3, subagent: 0, compaction: 0, retried: 1, failed: 1 },
      tools: [{ name: 'Bash', calls: 1, errors: 0 }],
      tokens: { prompt: 200, completion: 10, cacheRead: 194, cacheWrite: 0, total: 210 },
      costUsd: ended?.data.costUsd,
      prices: ended?.data.prices,
    });
    expect(ended).toMatchObject({ id: `${facts.turn}:ended`, source: '/loom/trace-grouper', subject: SESSION });
    const [started, ...repeated] = await bed.events('turn.started');
    expect([started?.id, started?.data.turn, repeated]).toEqual([`${facts.turn}:started`, facts.turn, []]);
    expect(names()).toEqual([
      'chat claude-opus-5-5',
      'chat claude-opus-5-5',
      'chat claude-opus-5-5',
      'collect-metadata',
      'execute_tool Bash',
      'turn',
      `user-turn:${SESSION}`,
    ]);
    const summary = TurnSummary.parse(JSON.parse((await bed.redis.get(bed.key(`last-turn:${SESSION}`))) ?? ''));
    expect(summary.turn).toEqual({ ...ended?.data, prompt: null, answer: null });
    expect(summary.spans.filter(({ kind }) => kind === 'server')).toHaveLength(3);
    expect(await bed.redis.zrange(bed.key('last-turns'), '0', '-1')).toEqual([SESSION]);
  });

  test('waits for a client that goes on after a final answer', async () => {
    await bed.start({ LOOM_TURN_GRACE_MS: '3000' });

    await bed.publish(...drafts('r1', { hook, text: 'Done?' }));
    await bed.taken();
    await bed.publish(...drafts('r2', { at: 2_000, hook, text: 'Done.' }));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls.main, data.answer])).toEqual([[2, 'Done.']]);
  });

  test('takes a compaction in the middle, and the calls after it that no hook names, for parts of the turn', async () => {
    await bed.start();

    await bed.publish(
      ...drafts('r1', { hook, ...bash }),
      ...drafts('r2', { at: 2_000, class: 'compaction', text: 'A summary.' }),
      ...drafts('r3', { at: 5_000, ...bash }),
      ...drafts('r4', { at: 8_000, text: 'Mended.' }),
    );

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls.main, data.calls.compaction, data.answer])).toEqual([[3, 1, 'Mended.']]);
  });

  test('abandons a turn of which nothing more is heard', async () => {
    await bed.start({ LOOM_TURN_IDLE_MS: '300', LOOM_TURN_TOOL_IDLE_MS: '300' });

    await bed.publish(...drafts('r1', { hook, ...bash }));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.endReason, data.answer])).toEqual([['abandoned', null]]);
    expect(names()).toContain(`user-turn:${SESSION}`);
  });

  test('waits for an answer that streams for long, until its gateway dies', async () => {
    await bed.start({ LOOM_TURN_IDLE_MS: '300' });
    const judged = bed.key('bull:turn-end:id');

    await bed.publish(...drafts('r1', { hook, isOpen: true }));
    // It was looked at again, and found to go on.
    await until(async () => Number(await bed.redis.get(judged)) > 3);
    const early = await bed.events('turn.ended');
    await bed.killGateway();

    const ended = await bed.ended(1);
    expect(early).toEqual([]);
    expect(ended.map(({ data }) => data.endReason)).toEqual(['abandoned']);
    expect(names()).toEqual([
      'chat claude-opus-5-5',
      'collect-metadata',
      'loom: POST /v1/messages',
      'turn',
      `user-turn:${SESSION}`,
    ]);
  });

  test('sends the request spans of a gateway that was killed, and of no other', async () => {
    await bed.start();
    const lost = { trace: { spanId: 'd'.repeat(16) } };

    await bed.publish(...drafts('r1', { hook, text: 'Mended.' }));
    await bed.ended(1);
    const before = names();
    await bed.killGateway();
    await bed.publish(...drafts('r2', { ...lost, session: 's2', hook, trace: { ...trace('c'), ...lost.trace } }));
    await bed.ended(2);

    const requests = collector.spans.filter(({ name }) => name.startsWith('loom:'));
    expect(before).not.toContain('loom: POST /v1/messages');
    expect(requests).toMatchObject([
      {
        ...{ traceId: 'c'.repeat(32), spanId: 'd'.repeat(16), kind: 2, status: 0 },
        parentId: turnSpanIdOf('c'.repeat(32), 'c'.repeat(16)),
        attributes: { 'openinference.span.kind': 'CHAIN', 'session.id': 's2', 'loom.end.reason': 'complete' },
      },
    ]);
  });

  test('holds the spans of a turn back until its gateway has said what became of its own', async () => {
    await bed.start();
    await bed.announce({ lostUntil: 0, sentUntil: 0 });

    await bed.publish(...drafts('r1', { hook, text: 'Mended.' }));
    await until(async () => (await bed.redis.hget(bed.key(`bull:turn-export:${KEY}`), 'stc')) !== 'none');
    await until(async () => Number(await bed.redis.hget(bed.key(`bull:turn-export:${KEY}`), 'atm')) > 0);
    const early = names();
    // It was cut off from the collector for a time.
    await bed.announce({ lostUntil: BEGIN + 1_000, sentUntil: BEGIN + 60_000 });
    await bed.ended(1);

    expect(early).toEqual([]);
    expect(names()).toContain('loom: POST /v1/messages');
  });

  test('keeps what the operator’s patterns match out of everything', async () => {
    await bed.start({ LOOM_REDACT: 'the \\w+' });

    await bed.publish(...drafts('r1', { hook, text: 'Mended the gate.' }));
    await bed.taken();
    const [state = ''] = await bed.redis.keys(bed.key('turn:*'));
    const kept = JSON.stringify(await bed.redis.hgetall(state));
    const ended = await bed.ended(1);

    const told = [...(await bed.events('turn.started')), ...ended].map(({ data }) => data.prompt);
    expect(told).toEqual(['Mend [redacted].', 'Mend [redacted].']);
    expect(ended[0]?.data.answer).toBe('Mended [redacted].');
    expect([kept, JSON.stringify(collector.spans)].filter((text) => text.includes('gate.'))).toEqual([]);
    expect(collector.spans.find(({ name }) => name === 'turn')?.attributes).toMatchObject({
      'input.value': 'Mend [redacted].',
      'output.value': 'Mended [redacted].',
    });
  });

  test('names the models that have no price, and no others', async () => {
    const grouper = await bed.start();
    const usage = { input_tokens: 3, output_tokens: 5 };

    await bed.publish(
      ...drafts('x1', { class: 'auxiliary', model: 'claude-unheard-of-1', usage }),
      ...drafts('r1', { at: 2_000, hook, usage }),
    );
    const [ended] = await bed.ended(1);

    expect([ended?.data.models, ended?.data.costUsd]).toEqual([['claude-opus-5-5'], null]);
    expect([...grouper.counters.unpriced]).toEqual([['claude-unheard-of-1-20260801', 1]]);
  });

  test('ends a turn that failed, after the time for a retry', async () => {
    await bed.start({ LOOM_TURN_RETRY_MS: '300' });

    await bed.publish(...drafts('r1', { hook, failure }));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.endReason, data.errorType])).toEqual([['error', 'overloaded_error']]);
  });

  test('ends what the user stopped: a call, by its client leaving; a tool, by what the transcript says', async () => {
    await bed.start();
    const left = { endReason: 'client_closed', status: 200 } as const;

    await bed.publish(...drafts('r1', { hook, failure: left }));
    await bed.publish(...drafts('r2', { session: 's2', trace: trace('c'), hook, ...bash }));
    await bed.taken();
    await bed.publish({ ...line(STOPPED), subject: 's2' });

    const ended = await bed.ended(2);
    expect(ended.map(({ data }) => data.endReason)).toEqual(['interrupted', 'interrupted']);
  });

  test('ends a turn when its session begins another', async () => {
    await bed.start();

    await bed.publish(...drafts('r1', { hook, ...bash }));
    await bed.taken();
    await bed.publish(...drafts('r2', { at: 9_000, trace: trace('c'), hook, isOpen: true }));
    await until(async () => (await bed.events('turn.ended')).length === 1);

    const ended = await bed.events('turn.ended');
    expect(ended.map(({ data }) => [data.traceId, data.endReason])).toEqual([[TRACE.traceId, 'interrupted']]);
  });

  test('keeps a turn open while a subagent outlives the answer', async () => {
    await bed.start();
    const agent: Scene = { class: 'subagent', agentId: 'a1', agentType: 'Explore' };

    await bed.publish(
      ...drafts('a1-1', { ...agent, at: 500, ...bash }),
      ...drafts('r1', { hook, at: 0, takesMs: 4_000, text: 'It looks around.' }),
    );
    await bed.taken();
    await bed.publish(...drafts('a1-2', { ...agent, at: 9_000, text: 'Seen.', ...brought }));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls, data.answer])).toEqual([
      [{ main: 1, subagent: 2, compaction: 0, retried: 0, failed: 0 }, 'It looks around.'],
    ]);
    expect(names()).toContain('invoke_agent Explore');
  });

  test('never mixes what happens at the same time', async () => {
    await bed.start();
    const digits = ['1', '2', '3', '4'];
    const task = (digit: string) => ({ stopReason: 'tool_use', toolUses: [{ id: `t${digit}`, name: 'Task' }] });

    await Promise.all(
      digits.map((digit) =>
        bed.publish(
          ...drafts(`m${digit}`, { session: `s${digit}`, trace: trace(digit), hook, ...task(digit) }),
          ...['a', 'b'].flatMap((agent) =>
            drafts(`${agent}${digit}`, {
              ...{ session: `s${digit}`, trace: trace(digit, 'session') },
              ...{ at: 1_500, class: 'subagent', agentId: `${agent}${digit}`, text: `${agent}${digit}` },
            }),
          ),
          ...drafts(`n${digit}`, { session: `s${digit}`, trace: trace(digit, 'session'), at: 5_000, text: digit }),
        ),
      ),
    );

    const ended = await bed.ended(4);
    const told = ended.map(({ subject, data }) => [subject, data.answer, data.calls.main, data.calls.subagent]);
    expect(told.sort()).toEqual(digits.map((digit) => [`s${digit}`, digit, 2, 2]));
    const agents = collector.spans.filter(({ name }) => name.startsWith('invoke_agent'));
    expect(agents.map(({ name, traceId }) => `${name} ${traceId[0]}`).sort()).toEqual(
      ['a', 'b'].flatMap((agent) => digits.map((digit) => `invoke_agent ${agent}${digit} ${digit}`)),
    );
  });

  test('opens, splits, closes and holds open no turn for auxiliary calls and probes', async () => {
    await bed.start();
    const open = drafts('x2', { at: 1_300, class: 'auxiliary' });

    await bed.publish(
      ...drafts('w1', { class: 'probe', trace: trace('d', 'none') }),
      ...drafts('r1', { hook, ...bash }),
      ...drafts('x1', { at: 1_200, class: 'auxiliary', text: 'A gate' }),
      ...open.slice(0, 2),
      ...drafts('r2', { at: 5_000, text: 'Mended.' }),
    );
    await until(async () => (await bed.events('turn.ended')).length === 1);
    await bed.publish(...open.slice(2));

    const ended = await bed.ended(1);
    expect(ended.map(({ data }) => [data.calls, data.answer])).toEqual([
      [{ main: 2, subagent: 0, compaction: 0, retried: 0, failed: 0 }, 'Mended.'],
    ]);
    expect((await bed.events('turn.started')).length).toBe(1);
    expect(names().filter((name) => name.startsWith('chat'))).toHaveLength(5);
    expect(collector.spans.find(({ traceId }) => traceId.startsWith('d'))?.name).toBe('chat claude-opus-5-5');
  });

  test('tells of an exchange that a turn had ended without by itself, and of what it had not again', async () => {
    const grouper = await bed.start();
    const open = drafts('x1', { at: 500, class: 'auxiliary', text: 'A gate' });

    await bed.publish(...drafts('r1', { hook, text: 'Mended.' }), ...open.slice(0, 2));
    await until(() => names().includes(`user-turn:${SESSION}`));
    const before = names();
    await bed.publish(...open.slice(2), ...drafts('r1', { hook, text: 'Mended.' }), line(STOPPED));
    await bed.taken();
    await bed.idle();

    expect(before.filter((name) => name.startsWith('chat'))).toHaveLength(1);
    expect(names().filter((name) => name.startsWith('chat'))).toHaveLength(2);
    expect((await bed.events('turn.ended')).length).toBe(1);
    expect(grouper.counters).toMatchObject({ opened: 1, late: 1, exported: 2, dropped: 0 });
  });

  test('tells of one that a turn had ended without when its gateway dies as well', async () => {
    await bed.start({ LOOM_TURN_IDLE_MS: '300' });

    await bed.publish(
      ...drafts('r1', { hook, text: 'Mended.' }),
      ...drafts('x1', { at: 500, class: 'auxiliary', isOpen: true }),
    );
    await until(() => names().includes(`user-turn:${SESSION}`));
    const before = names();
    await bed.killGateway();
    await bed.ended(1);

    expect(before).not.toContain('loom: POST /v1/messages');
    expect(names()).toEqual([...before, 'chat claude-opus-5-5', 'loom: POST /v1/messages'].sort());
  });

  test('tells of auxiliary calls by themselves whose turn never came', async () => {
    await bed.start({ LOOM_TURN_IDLE_MS: '300' });

    await bed.publish(...drafts('x1', { class: 'auxiliary', text: 'A gate' }));
    await until(() => collector.spans.length > 0);
    await bed.idle();

    expect(names()).toEqual(['chat claude-opus-5-5']);
    expect(await bed.events('turn.ended')).toEqual([]);
  });

  test('leaves alone what gateways send that know no turns', async () => {
    await bed.start();
    const old = drafts('r1').map((draft) => ({ ...draft, data: { ...draft.data, trace: undefined } }));

    await bed.publish(...(old as ReturnType<typeof drafts>));
    await bed.taken();

    expect(await bed.redis.keys(bed.key('turn:*'))).toEqual([]);
  });

  test('lets nothing of what was said out with LOOM_CAPTURE=metadata', async () => {
    await bed.start({ LOOM_CAPTURE: 'metadata' });
    const said = [{ role: 'user', content: [{ type: 'text', text: 'Mend the gate.' }] }];

    await bed.publish(...drafts('r1', { hook, text: 'Mended the gate.', input: said }));

    const ended = await bed.ended(1);
    const all = [...(await bed.events('turn.started')), ...ended, ...collector.spans];
    expect(ended.map(({ data }) => [data.prompt, data.answer])).toEqual([[null, null]]);
    expect(JSON.stringify(all)).not.toMatch(/the gate/);
  });

  test('keeps the account’s quota where neighbours look for it', async () => {
    await bed.start();
    const rateLimits = { 'anthropic-ratelimit-unified-5h-utilization': '0.42' };

    await bed.publish(...drafts('r1', { hook, rateLimits }), ...drafts('r2', { at: 2_000 }));
    const [ended] = await bed.ended(1);

    const [key, ...others] = await bed.redis.keys('quota:*');
    const { timestamp, ...quota } = JSON.parse((await bed.redis.get(key ?? '')) ?? '');
    expect([ended?.data.calls.main, others]).toEqual([2, []]);
    expect(key).toBe(`quota:${timestamp}`);
    expect(timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000\+00:00$/);
    expect(quota).toMatchObject({ request_id: 'req_r1', 'anthropic-ratelimit-unified-5h-utilization': '0.42' });
    expect(await bed.redis.ttl(key ?? '')).toBeGreaterThan(1_209_000);
  });
});
