import { expect, test } from '@jest/globals';
import { ownMemoryBytes } from '@loom/shared/own-memory.ts';

test('ownMemoryBytes counts what this process alone holds', () => {
  const before = ownMemoryBytes();
  const held = Buffer.alloc(100_000_000, 1);

  expect(ownMemoryBytes() - before).toBeGreaterThan(held.length / 2);
  expect(ownMemoryBytes()).toBeLessThan(process.memoryUsage.rss());
});
