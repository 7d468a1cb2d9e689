import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { TurnSummary } from '@loom/shared/turn-summary.ts';
import { formatTrace } from '../src/core/trace-page.ts';
import { openBus } from './bus.ts';
import { plainScreen, SESSION, turnSummary } from './events.ts';
import { killAll, runHere } from './loom.ts';

const bus = await openBus();
beforeEach(async () => {
  await bus.redis.flushall();
});
afterAll(async () => {
  killAll();
  await bus.close();
});

/** Stores a session's last turn as the trace-grouper does. */
async function store(summary: TurnSummary, endedAt: number): Promise<void> {
  await bus.redis.set(`t:last-turn:${summary.session}`, JSON.stringify(summary));
  await bus.redis.zadd('t:last-turns', endedAt, summary.session);
}

const trace = (...words: string[]) => runHere(['trace', ...words], bus.environment);

describe('loom trace', () => {
  test('draws the newest turn', async () => {
    await store(turnSummary(), 2);
    await store(turnSummary({ session: '77770000-1' }), 1);

    expect(await trace()).toEqual({ code: 0, lines: formatTrace(turnSummary(), plainScreen(80)), stderr: '' });
  });

  test('draws the turn of the session whose id begins so', async () => {
    const other = turnSummary({ session: '77770000-1', spans: [] });
    await store(turnSummary(), 2);
    await store(other, 1);

    expect((await trace('777')).lines).toEqual(formatTrace(other, plainScreen(80)));
  });

  test('names the candidates where several sessions begin so, and takes an id that fits as a whole', async () => {
    await store(turnSummary(), 1);
    await store(turnSummary({ session: '3f2a', spans: [] }), 2);

    expect(await trace('3f')).toEqual({
      code: 1,
      lines: [],
      stderr: `loom: 2 sessions begin with 3f, newest first: 3f2a, ${SESSION}\n`,
    });
    expect((await trace('3f2a')).lines).toEqual(
      formatTrace(turnSummary({ session: '3f2a', spans: [] }), plainScreen(80)),
    );
  });

  test('obeys no session id', async () => {
    await store(turnSummary({ session: 'a\u001b[2Jb' }), 1);
    await store(turnSummary({ session: 'ac' }), 2);

    expect((await trace('a')).stderr).toBe('loom: 2 sessions begin with a, newest first: ac, ab\n');
  });

  test('prints the turn as JSON', async () => {
    await store(turnSummary(), 1);

    const { lines } = await trace('--json');

    expect(lines.map((line) => JSON.parse(line))).toEqual([turnSummary()]);
  });

  test.each([
    [
      'there is none',
      [],
      async () => {},
      'no turn has ended yet; the trace-grouper keeps the last one of each session for 7 days',
    ],
    [
      'the prefix fits none',
      ['9'],
      () => store(turnSummary(), 1),
      'no session with a turn in the last 7 days begins with 9',
    ],
    [
      'it has lapsed',
      [],
      async () => void (await bus.redis.zadd('t:last-turns', 1, SESSION)),
      `the last turn of session ${SESSION} is no longer kept`,
    ],
  ])('says so when %s', async (_, words, arrange, expected) => {
    await arrange();

    expect(await trace(...words)).toEqual({ code: 1, lines: [], stderr: `loom: ${expected}\n` });
  });

  test('says so when what is stored is no turn', async () => {
    await bus.redis.set(`t:last-turn:${SESSION}`, '{');
    await bus.redis.zadd('t:last-turns', 1, SESSION);

    const { code, stderr } = await trace();

    expect([code, stderr.trimEnd().split('\n').length]).toEqual([1, 1]);
    expect(stderr).toContain(`loom: t:last-turn:${SESSION} is no turn summary: `);
  });
});
