import { describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { deriveTurn, type TurnRecord, withTurn } from '../../src/core/turn-record.ts';
import { sha256 } from './fixtures/body.ts';
import { hookedClient, hookTurn, keyOf, Placer } from './traced-client.ts';

const CLIENT = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const traceparent = `00-${CLIENT.traceId}-${CLIENT.spanId}-01`;
const { traceId, rootSpanId } = hookTurn(1);
const newest = (options: { hintHeaders?: boolean } = {}) => ({ version: '2.1.330', ...options }) as const;
const USES_TOOL = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Task', input: {} }] });
const SAYS = messageOf({ text: 'Hello.' });

describe('placeTrace', () => {
  test('puts a request under the turn that its block names, and links the client’s own span', () => {
    expect(new Placer().place(hookedClient(newest()).prompt('Hello?'), { traceparent })).toEqual({
      class: 'main',
      origin: 'hook',
      traceId,
      rootSpanId,
      parentSpanId: turnSpanIdOf(traceId, rootSpanId),
      clientSpanId: undefined,
      link: { ...CLIENT, flags: 1 },
      turn: { traceId, rootSpanId, origin: 'hook', promptId: expect.any(String), anchor: expect.any(String) },
      isNewest: true,
      ownsBlock: true,
    });
  });

  test('puts a subagent under its agent’s span, in the turn of the session', () => {
    const client = hookedClient(newest());
    const placer = new Placer();
    placer.place(client.prompt('Hello?'));

    const request = client.subagent('Count the pots.');

    expect(placer.place(request)).toMatchObject({
      class: 'subagent',
      origin: 'session',
      ...{ traceId, rootSpanId },
      parentSpanId: agentSpanIdOf(traceId, rootSpanId, String(request.headers['x-claude-code-agent-id'])),
    });
  });

  test('links the client’s span of a subagent whose turn the hook named, so that the turn stays one trace', () => {
    const client = hookedClient(newest());
    const placer = new Placer();
    placer.place(client.prompt('Hello?'), { traceparent });

    expect(placer.place(client.subagent('Count the pots.'), { traceparent })).toMatchObject({
      ...{ origin: 'session', traceId, rootSpanId },
      link: { ...CLIENT, flags: 1 },
    });
  });

  test('keeps an agent that outlives its turn in the turn that started it, by the client’s name for the prompt', () => {
    const client = hookedClient(newest({ hintHeaders: true }));
    const placer = new Placer();
    placer.place(client.prompt('Hello?'));
    const late = client.subagent('Count the pots.');
    client.receive(SAYS);
    placer.place(client.prompt('And now?'));

    expect(placer.tell(late)).toEqual(['subagent', 'session', keyOf(hookTurn(1))]);
    expect(placer.tell(client.subagent('Count the cups.'))).toEqual(['subagent', 'session', keyOf(hookTurn(2))]);
  });

  test('opens no turn for a title, a classifier or a warm-up, before any prompt or after one', () => {
    const client = new ClaudeCode(newest());
    const placer = new Placer();
    const old = new ClaudeCode({ version: '2.0.76' });

    const before = [client.title(), client.classifier(), old.warmup(), old.topic()].map((request) =>
      placer.tell(request),
    );
    const [, , turn] = placer.tell(client.prompt('Hello?'));
    const after = [client.title(), client.classifier()].map((request) => placer.tell(request));
    const loop = placer.tell(client.toolResults(USES_TOOL, ['3']));

    expect(before).toEqual([
      ['auxiliary', 'none', undefined],
      ['auxiliary', 'none', undefined],
      ['probe', 'none', undefined],
      ['auxiliary', 'none', undefined],
    ]);
    expect(after).toEqual([
      ['auxiliary', 'session', turn],
      ['auxiliary', 'session', turn],
    ]);
    expect(loop).toEqual(['main', 'session', turn]);
    expect(placer.turns).toHaveLength(1);
  });

  test('leaves a request that belongs to no turn in the client’s own trace, where there is one', () => {
    expect(new Placer().place(new ClaudeCode(newest()).title(), { traceparent })).toMatchObject({
      origin: 'none',
      traceId: CLIENT.traceId,
      rootSpanId: undefined,
      parentSpanId: CLIENT.spanId,
      turn: undefined,
    });
  });

  test('takes `!command` for a turn of its own, although an older prompt has a block', () => {
    const client = hookedClient(newest({ hintHeaders: true }));
    const placer = new Placer();
    placer.place(client.prompt('Hello?'));
    client.receive(SAYS);

    const [, origin, turn] = placer.tell(client.bash('ls', 'gate.md'));
    const loop = placer.tell(client.toolResults(USES_TOOL, ['3']));

    expect([origin, turn === keyOf(hookTurn(1))]).toEqual(['gateway', false]);
    expect(loop).toEqual(['main', 'session', turn]);
  });

  test('takes the newer one of two blocks that an aborted turn left in one message', () => {
    const client = hookedClient(newest());

    expect(new Placer().tell(client.failedThenPrompt(['One.', 'Two.']))).toEqual(['main', 'hook', keyOf(hookTurn(2))]);
  });

  test('takes no notice of a block that a fork copied from another session', () => {
    const copied = formatMetadata({ session_id: 'another', traceparent });
    const client = new ClaudeCode({ ...newest(), hook: () => copied });

    expect(new Placer().place(client.prompt('Hello?'))).toMatchObject({ origin: 'gateway', link: undefined });
  });

  test.each([
    'garbage',
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
    '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '',
  ])('lets a traceparent that is none cost nothing, in header and block: %j', (malformed) => {
    const hook = (_: string, session: string) => formatMetadata({ session_id: session, traceparent: malformed });

    const place = new Placer().place(new ClaudeCode({ ...newest(), hook }).prompt('Hello?'), {
      traceparent: malformed,
    });

    expect(place).toMatchObject({ origin: 'gateway', link: undefined, clientSpanId: undefined, ownsBlock: true });
  });

  test('keeps two people apart who type the same', () => {
    const [one, other] = ['session-1', 'session-2'].map((session) => new ClaudeCode({ ...newest(), session }));

    const keys = [one, other].map((client) => new Placer().tell((client as ClaudeCode).prompt('Hello?'))[2]);

    expect(new Set(keys).size).toBe(2);
  });

  test('knows a conversation in which none of the turns took place for a subagent’s, in clients that mark none', () => {
    const client = new ClaudeCode({ version: '2.0.76' });
    const placer = new Placer();
    const [, , turn] = placer.tell(client.prompt('Hello?'));

    expect(placer.tell(client.subagent('Count the pots.'))).toEqual(['subagent', 'session', turn]);
    expect(placer.tell(client.failedThenPrompt(['And now?']))[0]).toBe('main');
  });
});

describe('deriveTurn', () => {
  test('takes its ids from the hash of session and anchor', () => {
    const digest = sha256('s1\nabc');

    expect(deriveTurn('s1', 'abc', sha256)).toEqual({
      traceId: digest.slice(0, 32),
      rootSpanId: digest.slice(32, 48),
    });
  });
});

describe('withTurn', () => {
  const turn = (at: number): TurnRecord => ({ ...hookTurn(at), origin: 'hook' });
  const turns = [turn(2), turn(1)];

  test('puts the newest turn first, and keeps eight', () => {
    const ten = Array.from({ length: 10 }, (_, at) => turn(at)).reduce<TurnRecord[]>(
      (list, next) => withTurn(list, next, true),
      [],
    );

    expect(ten).toEqual([9, 8, 7, 6, 5, 4, 3, 2].map(turn));
  });

  test('says by the same list that there is no news', () => {
    expect([withTurn(turns, turn(2), true), withTurn(turns, turn(1), false)].every((list) => list === turns)).toBe(
      true,
    );
  });

  test('goes back to an older turn, and behind the others with one that is only to be known', () => {
    expect([withTurn(turns, turn(1), true), withTurn(turns, turn(3), false)]).toEqual([
      [turn(1), turn(2)],
      [turn(2), turn(1), turn(3)],
    ]);
  });

  test('learns what it did not know of a turn, and lets stand what its first request said', () => {
    const said = { ...turn(2), clientSpanId: CLIENT.spanId };

    expect(withTurn([said], { ...turn(2), clientSpanId: rootSpanId, promptId: 'p1' }, false)).toEqual([
      { ...said, promptId: 'p1' },
    ]);
  });
});
