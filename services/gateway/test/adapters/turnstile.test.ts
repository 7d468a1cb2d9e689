import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Turnstile } from '../../src/adapters/turnstile.ts';

let turn: number;
let counting: NodeJS.Immediate;

beforeEach(() => {
  turn = 0;
  const count = () => {
    turn++;
    counting = setImmediate(count);
  };
  counting = setImmediate(count);
});
afterEach(() => clearImmediate(counting));

/** Passes, and works on after an await of its own. */
async function pass(turnstile: Turnstile, name: string, done: string[]): Promise<void> {
  await turnstile.pass();
  done.push(`${name} in turn ${turn}`);
  await undefined;
  done.push(`${name} on in turn ${turn}`);
}

describe('Turnstile', () => {
  test('lets everybody in at once while nothing is relayed', () => {
    const turnstile = new Turnstile(() => false);

    expect([turnstile.pass(), turnstile.pass()]).toEqual([undefined, undefined]);
  });

  test('lets one in, in order, at each turn of the event loop while something is', async () => {
    const turnstile = new Turnstile(() => true);
    const done: string[] = [];

    await Promise.all(['a', 'b', 'c'].map((name) => pass(turnstile, name, done)));

    expect(done).toEqual([
      ...['a in turn 1', 'a on in turn 1'],
      ...['b in turn 2', 'b on in turn 2'],
      ...['c in turn 3', 'c on in turn 3'],
    ]);
  });

  test('lets nobody overtake who waits, though nothing is relayed any more', async () => {
    let isRelaying = true;
    const turnstile = new Turnstile(() => isRelaying);
    const done: string[] = [];
    const first = pass(turnstile, 'a', done);
    isRelaying = false;

    await Promise.all([first, pass(turnstile, 'b', done)]);

    expect(done.filter((what) => !what.includes('on'))).toEqual(['a in turn 1', 'b in turn 2']);
  });
});
