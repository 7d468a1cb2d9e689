import { afterAll, describe, expect, test } from '@jest/globals';
import { expectCacheRead, expectKeptPrefix, expectOnlyMetadataCut, memorablesOf } from './forwarded.ts';
import { startStack } from './stack.ts';
import { Talk, type TalkOptions } from './talk.ts';

const stack = await startStack();
afterAll(() => stack.close());

const clients: TalkOptions[] = [
  { name: 'forty turns with the newest client', version: '2.1.330', hintHeaders: true },
  { name: 'forty turns with 2.1.118', version: '2.1.118', mode: 'cli' },
  { name: 'forty turns with an older model', version: '2.1.330', model: 'claude-sonnet-4-5', mode: 'cli' },
  { name: 'forty turns with 2.0.76', version: '2.0.76', otherHook: 'The tree is clean.' },
  { name: 'forty turns with 1.0.128', version: '1.0.128' },
];
const talks = clients.map((options) => new Talk(stack, options));

/** What happens before a turn. */
const mishaps: Record<number, () => Promise<void>> = {
  4: async () => {
    await stack.gateway.stop();
    await stack.gateway.start();
    await stack.ready();
  },
  7: async () => {
    await stack.gateway.kill();
    await stack.gateway.start();
    await stack.ready();
  },
  10: async () => {
    await stack.introInjector.stop();
    await stack.introInjector.start();
    await stack.ready();
  },
  13: () => stack.redis.stop(),
  17: async () => {
    await stack.editPrompt('identity', 'I am Alpha, and I have changed.');
    await stack.compactRewriter.logs('prompts changed', 1);
  },
  19: async () => {
    for (const talk of talks) talk.tell((client) => client.resume());
  },
  22: async () => {
    await Promise.all([stack.introInjector.stop(), stack.compactRewriter.stop()]);
    await stack.missed(stack.introInjector);
    await stack.missed(stack.compactRewriter);
  },
  36: async () => {
    await stack.redis.kill();
    await stack.redis.start();
    await stack.ready();
  },
};

/** What mends it, after a turn. */
const remedies: Record<number, () => Promise<void>> = {
  13: async () => {
    await stack.redis.start();
    await stack.ready();
  },
  31: async () => {
    await Promise.all([stack.introInjector.start(), stack.compactRewriter.start()]);
    await stack.ready();
  },
};

/** What Intro says before each turn; nobody hears it while Redis (13) or the injector (22 to 31) is away. */
const memorable = (turn: number) => `what was noticed before turn ${turn}`;
const injected = (turn: number) => {
  if (turn === 13 || (turn >= 22 && turn <= 31)) return [];
  if (turn === 14) return [13, 14];
  return turn === 32 ? [22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32] : [turn];
};

describe('a session of forty turns', () => {
  test('goes through restarts and losses of every service', async () => {
    for (let turn = 1; turn <= 40; turn++) {
      for (const { session } of talks) await stack.client.rpush(`intro:memorables:${session}`, memorable(turn));
      await mishaps[turn]?.();
      await Promise.all(talks.map((talk) => talk.turn(`This is prompt ${turn}.`)));
      await remedies[turn]?.();
    }

    expect(talks.map(({ exchanges }) => exchanges.length)).toEqual([80, 80, 80, 80, 80]);
  }, 60_000);

  describe.each(talks.map((talk, index) => ({ client: clients[index]?.name, talk })))('($client)', ({ talk }) => {
    test('sends upstream, in each request, what it sent before and something new', () => {
      // 2.0.76 finds nothing of its hooks in its transcript, so what they said before the resume is gone.
      const forgotten = clients[talks.indexOf(talk)]?.version === '2.0.76' ? FORGOTTEN : [];
      for (const [index, exchange] of talk.exchanges.entries()) {
        const before = talk.exchanges[index - 1];
        if (before) expectKeptPrefix(before, exchange, forgotten);
      }
    });

    test('reads from the prompt cache all that it wrote', () => {
      for (const [index, exchange] of talk.exchanges.entries()) {
        const before = talk.exchanges[index - 1];
        const isResumed = index === 36 && clients[talks.indexOf(talk)]?.version === '2.0.76';
        if (before && !isResumed) expectCacheRead(before, exchange);
      }
    });

    test('shows the upstream nothing of the metadata', () => {
      for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
    });

    test('gets each memorable once, behind what a person typed', () => {
      const expected = Array.from({ length: 40 }, (_, index) => index + 1).flatMap((turn): [string, string[]][] => {
        const items = injected(turn).map(memorable);
        return items.length === 0 ? [] : [[`This is prompt ${turn}.`, items]];
      });

      expect(memorablesOf(talk.last)).toEqual(expected);
    });
  });
});

const FORGOTTEN = ['Success', 'The tree is clean.'].map(
  (output) => `<system-reminder>\nUserPromptSubmit hook success: ${output}\n</system-reminder>`,
);
