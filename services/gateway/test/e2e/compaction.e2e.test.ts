import { afterAll, describe, expect, test } from '@jest/globals';
import { messageOf } from '@loom/shared/testing/answer.ts';
import type { Compaction } from '@loom/shared/testing/claude-code/claude-code.ts';
import { bodyOf, expectCacheRead, expectKeptPrefix, expectKeptThroughout, messagesOf, textsOf } from './forwarded.ts';
import { PROMPTS } from './prompts.ts';
import { publishedFor, traceIdOf } from './published.ts';
import { startStack } from './stack.ts';
import { type Exchange, Talk, type TalkOptions, withBody } from './talk.ts';

const stack = await startStack();
afterAll(() => stack.close());

const NEEDS = 'Answer with text only and call no tool; put the summary itself between <summary> and </summary>.';
const LEAD = 'Sam asked me to mind this in particular, so it goes in whatever else has to be short:';
const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing conversations.';
const ONCE_MORE =
  'For this reply only: write what the instructions above ask for, in <summary> tags, before anything else is said.';
/** What the clients say where the persona's continuation belongs. */
const STOCK = [
  'Please continue the conversation from where we left it off without asking the user any further questions. Continue with the last task that you were asked to work on.',
  'Continue the conversation from where it left off without asking the user any further questions. Resume directly — do not acknowledge the summary, and do not announce that you resume.',
];

const clients: [string, Omit<TalkOptions, 'name'>][] = [
  ['1.0.128', { version: '1.0.128' }],
  ['2.0.76', { version: '2.0.76', mode: 'cli', otherHook: 'The tree is clean.' }],
  ['2.1.118', { version: '2.1.118', mode: 'cli' }],
  ['2.1.330', { version: '2.1.330' }],
  ['2.1.330 with hint headers', { version: '2.1.330', hintHeaders: true, mode: 'cli' }],
  ['2.1.330 with an older model', { version: '2.1.330', model: 'claude-opus-4-6' }],
];

/** Asks for a summary; the client takes it. */
async function compact(talk: Talk, compaction: Compaction): Promise<Exchange> {
  const exchange = await talk.send((client) => client.compact(compaction));
  talk.tell((client) => client.compacted(exchange.answer.text ?? ''));
  return exchange;
}

/** A request after a compaction, and the turn to its end. */
async function goOn(talk: Talk, trigger: 'auto' | 'manual', prompt = 'What comes next?'): Promise<Exchange> {
  if (trigger === 'manual') return talk.turn(prompt);
  const exchange = await talk.send((client) => client.continueAfterCompaction());
  await talk.finish(exchange);
  return exchange;
}

/** The last text of the last message, in which a client asks for a summary. */
function instructionOf({ forwarded }: Exchange): string | undefined {
  const last = messagesOf(forwarded.json()).findLast(({ role }) => role === 'user');
  return last && textsOf(last).at(-1);
}

function expectPersonaAsked(exchange: Exchange, args?: string, prompts = PROMPTS): void {
  const { system } = bodyOf(exchange.sent.body) as { system: { text: string }[] };
  const hasSummarizer = system.some(({ text }) => text === SUMMARIZER);
  const words = [prompts.compact, ...(args === undefined ? [] : [`${LEAD}\n${args}`]), NEEDS];
  const identified = hasSummarizer ? words : [prompts.identity, ...words];
  expect(instructionOf(exchange)?.trimEnd()).toBe(identified.join('\n\n'));
  expect(exchange.forwarded.json().system).toEqual(
    system.map((block) => (block.text === SUMMARIZER ? { ...block, text: prompts.identity } : block)),
  );
}

function continuationOf(body: Buffer): string | undefined {
  const [first] = messagesOf(bodyOf(body));
  return first && textsOf(first).find((text) => text.startsWith('This session is being continued'));
}

/** Fails unless the client's summary stands as it was sent, with the persona's words where the client's own were. */
function expectPersonaContinues({ sent, forwarded }: Exchange, words = PROMPTS.continuation): void {
  const said = continuationOf(sent.body);
  expect(said).toBeDefined();
  expect(continuationOf(forwarded.body)).toBe(STOCK.reduce((text, stock) => text.replace(stock, words), said ?? ''));
  for (const stock of STOCK) expect(forwarded.body.includes(stock)).toBe(false);
}

describe.each(clients)('a compaction of %s', (client, options) => {
  const isOld = options.version === '1.0.128' || options.version === '2.0.76';
  const saysIt = options.version === '2.1.330';

  test.each([
    ['at a new prompt', { trigger: 'auto', newPrompt: 'And the shed?' }],
    ['by hand', { trigger: 'manual' }],
    ['by hand, with words', { trigger: 'manual', args: 'keep the "names"\nof all pots' }],
  ] as [string, Compaction][])("%s is the persona's, and so is what follows", async (name, compaction) => {
    const talk = new Talk(stack, { name: `${client} ${name}`, ...options });
    await talk.turn('Look into the garden.');
    const before = (await talk.turn('And behind the gate?')) && talk.last;

    const asked = await compact(talk, compaction);
    const next = await goOn(talk, compaction.trigger);
    await talk.turn('Good. Anything else?');

    expectPersonaAsked(asked, compaction.args);
    expectKeptPrefix(before, asked);
    if (!isOld) expectCacheRead(before, asked);
    expectPersonaContinues(next);
    const speaks = compaction.trigger === 'auto' || saysIt;
    expect(continuationOf(next.forwarded.body)?.includes(PROMPTS.continuation)).toBe(speaks);
    expectKeptThroughout(talk.exchanges.slice(talk.exchanges.indexOf(next)));
    const published = await publishedFor(stack, talk.exchanges);
    expect(published.map(({ received }) => [received.data.class, received.data.profile, traceIdOf(received)])).toEqual(
      talk.exchanges.map((exchange) => {
        if (exchange !== asked) return ['main', 'alpha', exchange.trace];
        // 2.1.330 keeps a new prompt, and the metadata with it, for the request after the summary.
        return ['compaction', 'alpha', options.version === '2.1.330' ? before.trace : asked.trace];
      }),
    );
  });

  test("in mid tool loop is the persona's, and so is what follows", async () => {
    const talk = new Talk(stack, { name: `${client} in mid tool loop`, ...options });
    await talk.turn('Look into the garden.');
    const before = await talk.send((simulated) => simulated.prompt('And behind the gate?'));

    const midToolLoop = { message: messageOf(before.answer), results: ['two pots'] };
    const asked = await compact(talk, { trigger: 'auto', midToolLoop });
    const next = await goOn(talk, 'auto');
    await talk.turn('Good. Anything else?');

    expectPersonaAsked(asked);
    expectKeptPrefix(before, asked);
    if (!isOld) expectCacheRead(before, asked);
    expectPersonaContinues(next);
    expect(continuationOf(next.forwarded.body)?.includes(PROMPTS.continuation)).toBe(true);
    expectKeptThroughout(talk.exchanges.slice(talk.exchanges.indexOf(next)));
  });

  test("comes three times, the last one at once, and is the persona's each time", async () => {
    const talk = new Talk(stack, { name: `${client} three times`, ...options });
    await talk.turn('Look into the garden.');

    for (const newPrompt of ['And the shed?', 'And the well?']) {
      expectPersonaAsked(await compact(talk, { trigger: 'auto', newPrompt }));
      const next = await goOn(talk, 'auto');
      expectPersonaContinues(next);
      await talk.turn('Good.');
      expectKeptThroughout(talk.exchanges.slice(talk.exchanges.indexOf(next)));
    }
    await compact(talk, { trigger: 'auto', newPrompt: 'And the roof?' });
    const atOnce = await compact(talk, { trigger: 'auto' });
    const next = await goOn(talk, 'auto');

    expectPersonaAsked(atOnce);
    expectPersonaContinues(next);
  });
});

describe('a compaction', () => {
  test("that the client asks for once more is the persona's again, and the client's reason stays", async () => {
    const talk = new Talk(stack, { name: 'once more', version: '2.1.330' });
    await talk.turn('Look into the garden.');
    await talk.send((client) => client.compact({ trigger: 'manual' }));

    const again = await talk.send((client) => client.compactAgain());

    const words = [PROMPTS.identity, PROMPTS.compact, NEEDS, ONCE_MORE];
    expect(instructionOf(again)).toBe(words.join('\n\n'));
  });

  test('is followed by the words of its own time, although the prompts were edited meanwhile', async () => {
    const edited = { identity: 'Alpha, that is me.', compact: 'I write it all down.', continuation: 'Alpha, go on.' };
    const talk = new Talk(stack, { name: 'edited', version: '2.1.118' });
    await talk.turn('Look into the garden.');
    await compact(talk, { trigger: 'auto' });

    for (const [index, name] of (['identity', 'compact', 'continuation'] as const).entries()) {
      await stack.editPrompt(name, edited[name]);
      await stack.compactRewriter.logs('prompts changed', index + 1);
    }
    const next = await goOn(talk, 'auto');
    await talk.turn('Good.');
    const asked = await compact(talk, { trigger: 'auto' });
    const afterwards = await goOn(talk, 'auto');

    expectPersonaContinues(next, PROMPTS.continuation);
    expectPersonaAsked(asked, undefined, edited);
    expectPersonaContinues(afterwards, edited.continuation);
  });

  test('that the API is told to make by itself is left alone, and noted', async () => {
    const talk = new Talk(stack, { name: 'by the API', version: '2.1.330' });
    const management = { edits: [{ type: 'compact_20260112', instructions: 'Your task is to create a summary.' }] };

    const exchange = await talk.send((client) =>
      withBody(client.prompt('Look into the garden.'), (body) => ({ ...body, context_management: management })),
    );

    expect(exchange.forwarded.json()['context_management']).toEqual(management);
    const [published] = await publishedFor(stack, [exchange]);
    expect(published?.received.data.apiCompaction).toBe(true);
  });
});
