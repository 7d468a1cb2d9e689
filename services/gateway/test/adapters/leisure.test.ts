import { describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { Leisure } from '../../src/adapters/leisure.ts';

/** Keeps the thread for longer than a turn's share. */
function linger(): undefined {
  const beganMs = performance.now();
  while (performance.now() - beganMs < 3);
}

describe('Leisure', () => {
  test('does nothing at once, and everything in order', async () => {
    const leisure = new Leisure();
    const done: string[] = [];
    leisure.add(() => void done.push('a'));
    leisure.add(function* () {
      done.push('b1');
      yield;
      done.push('b2');
    });
    leisure.add(() => void done.push('c'));

    expect(done).toEqual([]);
    await until(() => done.length === 4);
    expect(done).toEqual(['a', 'b1', 'b2', 'c']);
  });

  test('lets whatever else there is go first, between what takes long and between its steps', async () => {
    const leisure = new Leisure();
    const done: string[] = [];
    const other = (name: string) => setImmediate(() => done.push(name));
    leisure.add(() => {
      other('after a');
      return linger();
    });
    leisure.add(function* () {
      done.push('b1');
      other('after b1');
      linger();
      yield;
      done.push('b2');
    });

    await until(() => done.includes('b2'));

    expect(done).toEqual(['after a', 'b1', 'after b1', 'b2']);
  });
});
