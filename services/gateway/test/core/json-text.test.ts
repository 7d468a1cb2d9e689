import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { decodeToken, encodeToken, textOffsets } from '../../src/core/json-text.ts';

const whole = (bytes: Buffer) => ({ start: 0, end: bytes.length });

describe('decodeToken', () => {
  test('decodes escapes, raw characters and lone surrogates in escapes', () => {
    const token = Buffer.from('"a\\u00e9é\\/\\ud800😀\ufeff"');

    expect(decodeToken(token, whole(token))).toBe('aéé/\ud800😀\ufeff');
  });

  test.each([
    ['a bad escape', Buffer.from('"\\x"')],
    ['a raw line break', Buffer.from('"\n"')],
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a surrogate as bytes', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
  ])('knows no text with %s, so that nobody edits it', (_, token) => {
    expect(decodeToken(token, whole(token))).toBeUndefined();
  });
});

describe('textOffsets', () => {
  test('says where each unit of any text begins, in raw form and in escapes', () => {
    holds(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, isAscii) => {
        const raw = encodeToken(text).toString();
        const token = Buffer.from(
          isAscii
            ? raw.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
            : raw,
        );

        const offsets = textOffsets(token, whole(token));

        expect(offsets.length).toBe(text.length + 1);
        for (let at = 0; at <= text.length; at++) {
          // Half of a pair cannot be cut off.
          if (/[\udc00-\udfff]/.test(text[at] ?? '')) continue;
          const head = Buffer.concat([token.subarray(0, offsets[at]), Buffer.from('"')]);
          expect(decodeToken(head, whole(head))).toBe(text.slice(0, at));
        }
      }),
      300,
    );
  });
});
