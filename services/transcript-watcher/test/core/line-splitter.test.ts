import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { splitLines } from '../../src/core/line-splitter.ts';

const text = new TextDecoder();
const split = (bytes: string, offset = 0) => {
  const { lines, end } = splitLines(Buffer.from(bytes), offset);
  return { lines: lines.map((line) => ({ ...line, content: text.decode(line.content) })), end };
};

describe('splitLines', () => {
  test('gives each complete line with its place in the file', () => {
    expect(split('{}\n{"type"', 100)).toEqual({ lines: [{ offset: 100, bytes: 3, content: '{}' }], end: 103 });
  });

  test('counts bytes, not characters', () => {
    expect(split('äöü\n👩\n')).toEqual({
      lines: [
        { offset: 0, bytes: 7, content: 'äöü' },
        { offset: 7, bytes: 5, content: '👩' },
      ],
      end: 12,
    });
  });

  test('takes a carriage return before the line feed for a part of the break, and no other one', () => {
    expect(split('a\r\nb\rc\r\r\n')).toEqual({
      lines: [
        { offset: 0, bytes: 3, content: 'a' },
        { offset: 3, bytes: 6, content: 'b\rc\r' },
      ],
      end: 9,
    });
  });

  test('leaves empty lines out, and stands behind them', () => {
    expect(split('\n\r\na\n\n')).toEqual({ lines: [{ offset: 3, bytes: 2, content: 'a' }], end: 6 });
  });

  test('stays where it is when nothing is complete', () => {
    expect(split('torn', 7)).toEqual({ lines: [], end: 7 });
    expect(split('', 7)).toEqual({ lines: [], end: 7 });
  });

  test('gives the same lines wherever the reading is cut, inside of characters too', () => {
    const contents = fc.string({ unit: fc.constantFrom('a', '\r', '\n', 'ß', '‹', '👩‍💻'), maxLength: 60 });
    const cuts = fc.array(fc.nat(300), { maxLength: 8 });
    const law = fc.property(contents, cuts, (content, places) => {
      const bytes = Buffer.from(content);
      const whole = splitLines(bytes, 0);

      const lines = [];
      let end = 0;
      for (const cut of [...places.sort((one, other) => one - other), bytes.length]) {
        const piece = splitLines(bytes.subarray(end, cut), end);
        lines.push(...piece.lines);
        end = piece.end;
      }

      expect({ lines, end }).toEqual(whole);
    });
    holds(law, 500);
  });
});
