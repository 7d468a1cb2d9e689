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

const TURNS = Array.from({ length: 40 }, (_, index) => index + 1);
const CLOSING_TURNS = [41, 42];
/** The place of the first exchange of turn 19. */
const RESUMED = 36;
const FORGOTTEN = ['Success', 'The tree is clean.'].map(
  (output) => `<system-reminder>\nUserPromptSubmit hook success: ${output}\n</system-reminder>`,
);

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
    await stack.startRedis();
    await stack.ready();
  },
};

/** What mends it, after a turn. */
const remedies: Record<number, () => Promise<void>> = {
  13: async () => {
    await stack.startRedis();
    await stack.ready();
  },
  31: async () => {
    await Promise.all([stack.introInjector.start(), stack.compactRewriter.start()]);
    await stack.ready();
  },
};

/** What Intro says before a turn. */
const memorable = (turn: number) => `what was noticed before turn ${turn}`;
/** Redis (13) or the injector (22 to 31) is away: what is said then, and what a busy moment kept back, comes later. */
const isSilent = (turn: number) => turn === 13 || (turn >= 22 && turn <= 31);

describe('a session of forty turns', () => {
  test('goes through restarts and losses of every service', async () => {
    for (const turn of TURNS) {
      for (const { session } of talks) await stack.client.rpush(`intro:memorables:${session}`, memorable(turn));
      await mishaps[turn]?.();
      await Promise.all(talks.map((talk) => talk.turn(`This is prompt ${turn}.`)));
      await remedies[turn]?.();
    }
    for (const turn of CLOSING_TURNS) await Promise.all(talks.map((talk) => talk.turn(`This is prompt ${turn}.`)));

    expect(talks.map(({ exchanges }) => exchanges.length)).toEqual(talks.map(() => 84));
  });

  const rows = talks.map((talk, index) => ({ client: clients[index]?.name, version: clients[index]?.version, talk }));
  describe.each(rows)('($client)', ({ version, talk }) => {
    const pairs = () =>
      talk.exchanges.slice(1).map((now, index) => {
        const before = talk.exchanges[index] ?? now;
        // The transcript of 2.0.76 holds no hook output: with the resume the client itself sends another history.
        const forgets = version === '2.0.76' && index + 1 === RESUMED;
        return { before, now, forgets };
      });

    test('sends upstream, in each request, what it sent before and something new', () => {
      for (const { before, now, forgets } of pairs()) expectKeptPrefix(before, now, forgets ? FORGOTTEN : []);
    });

    test('reads from the prompt cache all that it wrote', () => {
      for (const { before, now, forgets } of pairs()) if (!forgets) expectCacheRead(before, now);
    });

    test('shows the upstream nothing of the metadata', () => {
      for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
    });

    test('gets each memorable once, behind what a person typed', () => {
      const given = memorablesOf(talk.last);
      const spoken = [...TURNS, ...CLOSING_TURNS]
        .filter((turn) => !isSilent(turn))
        .map((turn) => `This is prompt ${turn}.`);

      expect(given.flatMap(([, items]) => items)).toEqual(TURNS.map(memorable));
      expect(given.map(([prompt]) => prompt).filter((prompt) => !spoken.includes(prompt))).toEqual([]);
    });
  });
});
