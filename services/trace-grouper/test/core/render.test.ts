import { describe, expect, test } from '@jest/globals';
import { finishSpan } from '../../src/core/render.ts';

const NAMED = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7', name: 'turn' };

describe('finishSpan', () => {
  test('fills in what a span need not say, and leaves out what it does not know', () => {
    expect(finishSpan({ ...NAMED, startedAt: 7, endedAt: 5, attributes: { 'loom.profile': undefined } })).toEqual({
      ...NAMED,
      kind: 'internal',
      startedAt: 7,
      endedAt: 7,
      attributes: {},
      events: [],
      links: [],
      status: 'unset',
    });
  });

  test('leaves out the largest attributes of a span that is too large, and says so', () => {
    const of = (bytes: number) => 'x'.repeat(bytes);

    const { attributes } = finishSpan({
      ...NAMED,
      attributes: { a: of(59_000), b: of(60_000), c: of(58_000), d: of(57_000), e: 'small' },
    });

    expect(Object.keys(attributes)).toEqual(['a', 'c', 'd', 'e', 'loom.capture.truncated']);
  });

  test('cuts a text that is too long for an attribute, and says so', () => {
    const { attributes } = finishSpan({ ...NAMED, attributes: { a: 'x'.repeat(100_000) } });

    expect(attributes).toEqual({
      a: `${'x'.repeat(59_976)}… [+40024 characters]`,
      'loom.capture.truncated': true,
    });
  });
});
