import { describe, expect, test } from '@jest/globals';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import { hookedClient, hookTurn, keyOf, Placer } from './traced-client.ts';

const clients: [name: string, options: ClaudeCodeOptions][] = [
  ['1.0.128', { version: '1.0.128' }],
  ['2.0.76', { version: '2.0.76' }],
  ['2.1.118', { version: '2.1.118' }],
  ['2.1.118 in a terminal', { version: '2.1.118', mode: 'cli' }],
  ['2.1.330', { version: '2.1.330' }],
  ['2.1.330 with an older model', { version: '2.1.330', model: 'claude-opus-4-6' }],
  ['2.1.330 with hints', { version: '2.1.330', hintHeaders: true }],
];

const USES_TOOL = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Bash', input: { command: 'ls' } }] });
const SAYS = messageOf({ text: 'Hello.' });
const SUMMARY = '<summary>We looked at the gate.</summary>';

/** Every request of a session of four turns: [turn, request], told by the client's own story. */
function story(client: ClaudeCode, version: string) {
  const told: [turn: number, request: ReturnType<ClaudeCode['prompt']>][] = [];
  const first = client.prompt('Look at the gate.');
  // A client tries again with the same bytes.
  told.push([1, first], [1, first]);
  told.push([1, client.subagent('Look behind the gate.')]);
  told.push([1, client.toolResults(USES_TOOL, ['open'])]);
  told.push([1, client.toolResults(USES_TOOL, ['still open'])]);
  client.receive(SAYS);
  told.push([1, client.title()]);
  if (version === '2.1.330') told.push([1, client.classifier()]);

  // The second prompt fails, the third is sent with it.
  told.push([2, client.prompt('Close it.')]);
  told.push([3, client.prompt('Or rather paint it.')]);
  told.push([3, client.toolResults(USES_TOOL, ['green'])]);
  client.receive(SAYS);

  told.push([4, client.prompt('And the door?')]);
  told.push([4, client.compact({ trigger: 'auto', midToolLoop: { message: USES_TOOL, results: ['shut'] } })]);
  client.compacted(SUMMARY);
  told.push([4, client.continueAfterCompaction()]);
  told.push([4, client.subagent('Look at the hinges.')]);
  told.push([4, client.toolResults(USES_TOOL, ['oiled'])]);
  client.receive(SAYS);

  told.push([4, client.compact({ trigger: 'manual' })]);
  client.compacted(SUMMARY);
  told.push([5, client.prompt('Good night.')]);
  told.push([5, client.toolResults(USES_TOOL, ['dark'])]);
  client.receive(SAYS);

  const next = client.compact({ trigger: 'auto', newPrompt: 'Good morning.' });
  // The newest client keeps the prompt for after the compaction.
  told.push([version === '2.1.330' ? 5 : 6, next]);
  client.compacted(SUMMARY);
  told.push([6, client.continueAfterCompaction()]);
  told.push([6, client.toolResults(USES_TOOL, ['light'])]);
  client.receive(SAYS);
  told.push([7, client.interruptedPrompt('Wait.')]);
  return told;
}

describe.each(clients)('a session of %s', (_, options) => {
  test('with a hook has each request in the turn that the hook named', () => {
    const told = story(hookedClient(options), options.version);
    const placer = new Placer();

    expect(told.map(([, request]) => placer.tell(request)[2])).toEqual(told.map(([turn]) => keyOf(hookTurn(turn))));
  });

  test('without a hook has the requests of a turn together, and those of different turns apart', () => {
    const told = story(new ClaudeCode(options), options.version);
    const placer = new Placer();

    const turns = new Map<number, Set<string | undefined>>();
    for (const [turn, request] of told) turns.set(turn, (turns.get(turn) ?? new Set()).add(placer.tell(request)[2]));

    expect([...turns].map(([turn, keys]) => [turn, keys.size, keys.has(undefined)])).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((turn) => [turn, 1, false]),
    );
    expect(new Set([...turns.values()].flatMap((keys) => [...keys])).size).toBe(7);
  });

  test('without a hook is traced by the client, where that sends a traceparent, all requests of a turn under one root', () => {
    const told = story(new ClaudeCode(options), options.version);
    const placer = new Placer();
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';

    const places = told.map(([turn, request], index) => {
      const spanId = (index + 1).toString(16).padStart(16, '0');
      const place = placer.place(request, { traceparent: `00-${traceId}-${spanId}-00` });
      expect(place).toMatchObject({ traceId, parentSpanId: spanId, clientSpanId: spanId, link: undefined });
      return { ordinal: turn, origin: place.origin, root: place.rootSpanId };
    });

    expect(places.map(({ origin }) => origin)).toEqual(told.map(() => 'client'));
    expect(new Set(places.map(({ root }) => root)).size).toBe(7);
    expect(new Set(places.map(({ ordinal, root }) => `${ordinal} ${root}`)).size).toBe(7);
  });

  test('comes to the same turns in another gateway that remembers nothing, as far as the conversation tells them', () => {
    const client = new ClaudeCode(options);
    const remembering = new Placer();
    const first = client.prompt('Look at the gate.');
    const loop = client.toolResults(USES_TOOL, ['open']);
    const expected = remembering.tell(first)[2];

    expect([first, loop].map((request) => new Placer().tell(request))).toEqual([
      ['main', 'gateway', expected],
      ['main', 'gateway', expected],
    ]);
  });

  test('gives a prompt that the hook said nothing to a turn of its own', () => {
    const client = hookedClient(options, [2]);
    const placer = new Placer();
    placer.tell(client.prompt('Look at the gate.'));
    client.receive(SAYS);

    const second = client.prompt('Close it.');
    const told = placer.tell(second);
    const loop = placer.tell(client.toolResults(USES_TOOL, ['shut']));
    client.receive(SAYS);
    const third = placer.tell(client.prompt('And the door?'));

    expect(told).toEqual(['main', 'gateway', expect.stringMatching(/^[0-9a-f]{32}-[0-9a-f]{16}$/)]);
    expect(told[2]).not.toBe(keyOf(hookTurn(1)));
    expect(loop).toEqual(['main', 'session', told[2]]);
    expect(third).toEqual(['main', 'hook', keyOf(hookTurn(3))]);
  });
});
