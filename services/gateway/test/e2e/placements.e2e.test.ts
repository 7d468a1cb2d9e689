import { afterAll, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import { expectOnlyMetadataCut, messagesOf, textsOf } from './forwarded.ts';
import { publishedFor, traceIdOf } from './published.ts';
import { startStack } from './stack.ts';
import { Talk, type TalkOptions } from './talk.ts';

const stack = await startStack();
afterAll(() => stack.close());

const OTHER_HOOK = 'The tree is clean.\n\nTwo branches are ahead: "main", {gate}.';
const clients: [string, Pick<TalkOptions, 'version' | 'model'>][] = [
  ['1.0.128', { version: '1.0.128' }],
  ['2.0.76', { version: '2.0.76' }],
  ['2.1.118', { version: '2.1.118' }],
  ['2.1.330', { version: '2.1.330' }],
  ['2.1.330 with an older model', { version: '2.1.330', model: 'claude-opus-4-6' }],
];
const hooks: [string, Pick<TalkOptions, 'otherHook'>][] = [
  ["Loom's hook alone", {}],
  ['a second hook beside it', { otherHook: OTHER_HOOK }],
];
const placements = clients.flatMap(([client, options]) =>
  (['sdk-cli', 'cli'] as const).flatMap((mode) =>
    hooks.map(([hook, hookOptions]) => ({ client, mode, hook, options: { ...options, mode, ...hookOptions } })),
  ),
);

describe('metadata', () => {
  test.each(placements)('of $client ($mode), $hook, is cut and nothing else, and names the trace', async (row) => {
    const talk = new Talk(stack, { name: JSON.stringify(row), ...row.options });

    await talk.turn('Good evening. What is in "garden/*.md"?\n{"a": "}"} — é 日本 🌱 </system-reminder>');
    await talk.turn('And behind the gate?');
    await talk.finish(await talk.send((client) => client.failedThenPrompt(['This', 'failed,', 'this did not.'])));
    await talk.finish(await talk.send((client) => client.interruptedPrompt('No, the other gate.')));
    const before = talk.exchanges.length;
    await talk.finish(await talk.send((client) => client.bash('ls', 'gate.md')));
    const after = talk.exchanges.length;
    talk.tell((client) => client.resume());
    await talk.turn('Where were we?');
    talk.tell((client) => client.clear());
    await talk.turn('A new leaf.');

    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
    const published = await publishedFor(stack, talk.exchanges);
    const told = published.map(({ received }) => [traceIdOf(received), received.data.class, received.data.profile]);
    // No hook runs for a command: it is a turn of its own.
    const command = told[before]?.[0];
    const traces = talk.exchanges.map(({ trace }, index) => (index >= before && index < after ? command : trace));
    expect(told).toEqual(traces.map((trace) => [trace, 'main', 'alpha']));
    expect(talk.exchanges.map(({ trace }) => trace)).not.toContain(command);
  });

  test.each(clients)('leaves nothing behind in the calls of %s beside its turns', async (client, options) => {
    const talk = new Talk(stack, { name: `${client} in the background`, ...options, otherHook: OTHER_HOOK });
    const isOld = options.version === '1.0.128' || options.version === '2.0.76';

    await talk.turn('Look into the shed.');
    await talk.send((simulated) => simulated.subagent('Count the pots.'));
    await talk.send((simulated) => simulated.title());
    if (isOld) await talk.send((simulated) => simulated.topic());
    if (isOld) await talk.send((simulated) => simulated.commandPaths('ls', 'shed'));

    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
  });

  test('that is the whole of a message leaves a word in its place, because the API refuses an empty one', async () => {
    const talk = new Talk(stack, { name: 'a topic', version: '1.0.128' });
    await talk.turn('Look into the shed.');

    const { forwarded } = await talk.send((client) => client.topic());

    expect(messagesOf(forwarded.json()).map(textsOf)).toEqual([['<system-reminder>hook context</system-reminder>']]);
  });
});

describe('metadata, with a hook secret', () => {
  const secret = 'a secret of the house';

  test('counts when it is signed, and is a text like any other when it is not', async () => {
    stack.environment['LOOM_HOOK_SECRET'] = secret;
    await stack.gateway.stop();
    await stack.gateway.start();
    await stack.ready();
    const signed = new Talk(stack, { name: 'signed', version: '1.0.128', secret });
    const forged = new Talk(stack, { name: 'forged', version: '1.0.128', secret: 'somebody elses secret' });

    for (const talk of [signed, forged]) await talk.turn('Good evening.');

    for (const exchange of signed.exchanges) expectOnlyMetadataCut(exchange);
    for (const { sent, forwarded } of forged.exchanges) expect(forwarded.body.equals(sent.body)).toBe(true);
    expect(forged.last.forwarded.body.includes(CANARY)).toBe(true);
    const published = await publishedFor(stack, [signed.last, forged.last]);
    expect(published.map(({ received }) => received.data.profile)).toEqual(['alpha', 'passthrough']);
  });
});
