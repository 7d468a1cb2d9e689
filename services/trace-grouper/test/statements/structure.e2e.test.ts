import { afterAll, describe, expect, test } from '@jest/globals';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import type { ReceivedSpan } from '@loom/shared/testing/otlp.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { apiError, hang, raw } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { bodyOf } from '../../../gateway/test/e2e/forwarded.ts';
import { heard, openWorld, orphansOf, shown, talker, treeOf, turnOf } from './world.ts';

const [redis, upstream] = await Promise.all([startRedis(), startUpstream()]);
const world = await openWorld({ redis, upstream }, ['gateway', 'trace-grouper'], {
  ...{ LOOM_TURN_RETRY_MS: '5000', LOOM_TURN_IDLE_MS: '5000', LOOM_TURN_TOOL_IDLE_MS: '5000' },
});
afterAll(async () => {
  await world.close();
  await Promise.all([upstream.close(), redis.close()]);
});

const USES_A_TOOL = { toolUses: [{ id: 'toolu_look', name: 'Bash', input: { command: 'ls' } }] };
const OVERLOADED = () => apiError(529, 'overloaded_error', 'Overloaded');
/** The client's own traces, whose spans are not ours to export. */
const CLIENT = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };

const named = (spans: ReceivedSpan[], name: string) => spans.filter((span) => span.name.startsWith(name));
const countOf = (spans: ReceivedSpan[]) => ['turn', 'chat', 'loom: POST'].map((name) => named(spans, name).length);

/** The agent's next call: what it asked for is done. */
function goOn(request: ClientRequest, said: Parameters<typeof heard>[0], results: string[]): ClientRequest {
  const body = bodyOf(request.body);
  const asked = heard(said).content;
  const uses = asked.flatMap((block) => (block.type === 'tool_use' ? [block.id] : []));
  const content = uses.map((id, at) => ({ type: 'tool_result', tool_use_id: id, content: results[at] }));
  const messages = [...(body.messages ?? []), { role: 'assistant', content: asked }, { role: 'user', content }];
  return { ...request, body: Buffer.from(JSON.stringify({ ...body, messages })) };
}

/** Under another agent. */
function nested(request: ClientRequest, parent: ClientRequest): ClientRequest {
  const parentId = String(parent.headers['x-claude-code-agent-id']);
  return { ...request, headers: { ...request.headers, 'x-claude-code-parent-agent-id': parentId } };
}

/** A call that is refused, one that the client gives up, a restart of all, and the answer. */
async function converseThroughRestarts(): Promise<string> {
  const client = talker('retried, aborted, restarted');
  const first = client.prompt('Look around.');
  await world.deliver(first, OVERLOADED);
  await world.deliver(first, USES_A_TOOL);
  const second = client.toolResults(heard(USES_A_TOOL), ['a gate']);
  await world.taken();
  await world.service('trace-grouper').kill();
  await world.leave(second, hang);
  await world.service('gateway').stop();
  await world.service('gateway').start();
  await world.deliver(second, { text: 'A gate.' });
  await world.service('trace-grouper').start();
  return client.session;
}

// By itself: the others meet services that stay.
const restarted = await converseThroughRestarts();

describe('a turn', () => {
  test.concurrent('is one turn span and a chat span a call, though one is tried again, one given up, and all restarts', async () => {
    const spans = await world.ended(restarted);
    expect(countOf(spans)).toEqual([1, 4, 4]);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
    expect(named(spans, 'chat').filter(({ attributes }) => attributes['loom.retry.of'] !== undefined)).toHaveLength(2);
    expect((await world.turnsEnded(restarted)).map(({ data }) => data.endReason)).toEqual(['end_turn']);
  });

  test.concurrent.each([
    ['interrupted', 'that the user stops in the middle of an answer'],
    ['abandoned', 'of which nothing is heard after a tool was asked for'],
  ])('has its root and its turn span, %s, when it is one %s', async (reason) => {
    const client = talker(reason);
    const prompt = `Be ${reason}.`;
    if (reason === 'abandoned') await world.deliver(client.prompt(prompt), USES_A_TOOL);
    else {
      const chunks = [Buffer.from('event: ping\ndata: {"type":"ping"}\n\n')];
      const headers: [string, string][] = [['content-type', 'text/event-stream']];
      await world.leave(client.prompt(prompt), () => raw({ headers, chunks, cutAfter: 'silence' }));
    }

    const spans = await world.ended(client.session);

    const [root, turn] = ['user-turn', 'turn'].map((name) => named(spans, name)[0]);
    expect([root, turn].map((span) => span?.attributes['loom.turn.end_reason'])).toEqual([reason, reason]);
    expect(root).toMatchObject({ spanId: turnOf(client.session).rootSpanId, attributes: { 'input.value': prompt } });
    expect(turn?.parentId).toBe(root?.spanId);
  });

  test.concurrent('keeps parallel agents apart, and puts a nested one under the tool of the agent that started it', async () => {
    const client = talker('agents');
    const asks = {
      toolUses: ['trees', 'gates'].map((what) => ({
        id: `toolu_${what}`,
        name: 'Task',
        input: { prompt: `Count the ${what}.` },
      })),
    };
    const asksMore = { toolUses: [{ id: 'toolu_oaks', name: 'Task', input: { prompt: 'Count the oaks.' } }] };
    await world.deliver(client.prompt('Count all.'), asks);
    const [trees, gates] = [client.subagent('Count the trees.'), client.subagent('Count the gates.')];
    const oaks = nested(client.subagent('Count the oaks.'), trees);
    await Promise.all([world.deliver(trees, asksMore), world.deliver(gates, { text: 'Two.' })]);
    await world.deliver(oaks, { text: 'Three.' });
    await world.deliver(goOn(trees, asksMore, ['Three.']), { text: 'Seven.' });
    await world.deliver(client.toolResults(heard(asks), ['Seven.', 'Two.']), { text: 'Nine.' });

    const spans = await world.ended(client.session);

    const call = (indent: string) => [`${indent}loom: POST /v1/messages`, `${indent}  chat claude-opus-5-5`];
    expect(treeOf(shown(spans))).toEqual([
      `user-turn:${client.session}`,
      '  collect-metadata',
      '  turn',
      '    execute_tool Task',
      '      invoke_agent general-purpose',
      '        execute_tool Task',
      '          invoke_agent general-purpose',
      ...call('            '),
      ...call('        '),
      ...call('        '),
      '    execute_tool Task',
      '      invoke_agent general-purpose',
      ...call('        '),
      ...call('    '),
      ...call('    '),
    ]);
  });

  test.concurrent('has a span for each tool of a batch, between the call that asked and the one that brought the results', async () => {
    const client = talker('a batch');
    const names = ['Bash', 'Read', 'Grep'];
    const asks = { toolUses: names.map((name) => ({ id: `toolu_${name}`, name, input: {} })) };
    await world.deliver(client.prompt('Do three things.'), asks);
    const brings = client.toolResults(heard(asks), ['done', 'no such file', 'nothing']);
    const failing = brings.body.toString().replace('"tool_use_id":"toolu_Read"', '"is_error":true,$&');
    await world.deliver({ ...brings, body: Buffer.from(failing) }, { text: 'Two of three.' });

    const spans = await world.ended(client.session);

    const tools = named(spans, 'execute_tool').sort((a, b) => (a.name < b.name ? -1 : 1));
    const [asked, brought] = named(spans, 'chat').sort((a, b) => a.startedAt - b.startedAt);
    expect(tools.map(({ name, status, attributes }) => [name, status, attributes['loom.timing']])).toEqual([
      ['execute_tool Bash', 0, 'inferred'],
      ['execute_tool Grep', 0, 'inferred'],
      ['execute_tool Read', 2, 'inferred'],
    ]);
    for (const tool of tools) {
      expect(tool.startedAt).toBeGreaterThanOrEqual(asked?.endedAt ?? Number.POSITIVE_INFINITY);
      expect(tool.endedAt).toBeLessThanOrEqual(brought?.startedAt ?? 0);
      expect(tool.linkedIds).toEqual([asked?.spanId, brought?.parentId]);
    }
  });

  test.concurrent('is in the client’s trace, under its span, where only the client names one', async () => {
    const client = talker('traced', { hook: () => undefined });
    const { headers, ...request } = client.prompt('Hello?');
    const traceparent = `00-${CLIENT.traceId}-${CLIENT.spanId}-00`;
    await world.deliver({ ...request, headers: { ...headers, traceparent } }, { text: 'Hello.' });

    const spans = await world.ended(client.session, [CLIENT.spanId]);

    expect(treeOf(shown(spans), CLIENT.spanId)).toEqual(['loom: POST /v1/messages', '  chat claude-opus-5-5', 'turn']);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([CLIENT.traceId]));
  });

  test.concurrent.each([
    'garbage',
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `ff-${CLIENT.traceId}-${CLIENT.spanId}-01`,
  ])('has a trace of its own where nobody names a valid one: %s', async (traceparent) => {
    const client = talker(traceparent, { hook: () => undefined });
    const { headers, ...request } = client.prompt('Hello?');
    const isWhole = await world.deliver({ ...request, headers: { ...headers, traceparent } }, { text: 'Hello.' });

    const spans = await world.ended(client.session);

    expect(isWhole).toBe(true);
    expect(treeOf(shown(spans))).toEqual([
      `user-turn:${client.session}`,
      '  turn',
      '    loom: POST /v1/messages',
      '      chat claude-opus-5-5',
    ]);
  });

  test.concurrent('is one for each thing that is typed, through a title, a count, `!command`, --resume and /clear, by a hook whose clock is an hour off', async () => {
    const beganAt = Date.now();
    const client = talker('all day', {}, { sent_at: new Date(beganAt - 3_600_000).toISOString() });
    const say = async (request: ClientRequest) => {
      await world.deliver(request, { text: 'Yes.' });
      client.receive(heard({ text: 'Yes.' }));
    };
    const ended = async (session: string, count: number) => {
      await until(async () => (await world.turnsEnded(session)).length >= count);
      const turns = (await world.turnsEnded(session)).map(({ data }) => data);
      // They may end in any order: each waits for what belongs to it.
      turns.sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
      return turns.map(({ prompt, endReason, calls }) => [prompt, endReason, calls.main]);
    };
    const { session } = client;
    await say(client.prompt('One.'));
    await world.deliver(client.title(), { text: '{"title":"Yes"}' });
    await world.deliver(client.countTokens(), {});
    await say(client.bash('ls', 'gate.txt'));
    client.resume();
    await say(client.prompt('Three.'));
    const before = await ended(session, 3);
    client.clear();
    await say(client.prompt('Four.'));

    expect(before).toEqual([
      ['One.', 'end_turn', 1],
      [expect.stringContaining('<bash-input>ls</bash-input>'), 'end_turn', 1],
      ['Three.', 'end_turn', 1],
    ]);
    expect(await ended(client.session, 1)).toEqual([['Four.', 'end_turn', 1]]);
    expect(client.session).not.toBe(session);
    await world.ended(client.session);
    await until(() => world.of(session).filter(({ name }) => name === 'turn').length === 3);
    const roots = named(world.of(session), 'user-turn');
    expect(new Set(roots.map(({ traceId }) => traceId)).size).toBe(3);
    expect(roots.every(({ startedAt }) => startedAt >= beganAt)).toBe(true);
  });

  test.concurrent('takes no block for its trace that somebody pasted, or that a tool printed', async () => {
    const client = talker('pasted');
    const evil = talker('evil').prompt('Pasted.').body.toString();
    const block = /\{\\"canary.*?\\"\}/.exec(evil)?.[0].replaceAll('\\"', '"') ?? '';
    const trace = turnOf(talker('evil').session).traceId;
    await world.deliver(client.prompt(`What is this?\n${block}`), USES_A_TOOL);
    await world.deliver(client.toolResults(heard(USES_A_TOOL), [block]), { text: 'A line of metadata.' });

    const spans = await world.ended(client.session);

    expect(block).toContain(trace);
    expect(countOf(spans)).toEqual([1, 2, 2]);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([turnOf(client.session).traceId]));
    expect(world.recorder.spans.filter(({ traceId }) => traceId === trace)).toEqual([]);
  });
});

describe('all that was exported', () => {
  test('has no span whose parent nobody exported, and Phoenix is shown whole trees of it', async () => {
    await world.stop();

    expect(world.recorder.spans.length).toBeGreaterThan(50);
    expect(orphansOf(world.recorder.spans, [CLIENT.spanId])).toEqual([]);
    expect(orphansOf(shown(world.recorder.spans), [CLIENT.spanId])).toEqual([]);
  });
});
