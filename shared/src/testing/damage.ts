import fc from 'fast-check';

/** One thing that happens to bytes; places are taken modulo their length. */
type Damage =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'cut'; at: number; length: number }
  | { kind: 'insert'; at: number; bytes: Uint8Array }
  | { kind: 'move'; at: number; length: number; to: number }
  | { kind: 'repeat'; at: number; length: number };

const at = fc.nat();
const length = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 400 }));
/** Bytes that mean something to somebody: brackets, quotes, escapes, line ends, what is no UTF-8, a mark. */
const meaningful = ['"', '\\', '{', '}', '[', ']', ',', ':', '\n', '\r\n', '\0', '\\u', '\ufeff', 'null', '-', '1e999']
  .map((text) => new TextEncoder().encode(text))
  .concat([new Uint8Array([0xff]), new Uint8Array([0xc3]), new Uint8Array([0xed, 0xa0, 0x80])]);

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant('flip'), at, bit: fc.nat({ max: 7 }) }),
  fc.record({ kind: fc.constant('cut'), at, length }),
  fc.record({
    kind: fc.constant('insert'),
    at,
    bytes: fc.oneof(fc.constantFrom(...meaningful), fc.uint8Array({ minLength: 1, maxLength: 6 })),
  }),
  fc.record({ kind: fc.constant('move'), at, length, to: at }),
  fc.record({ kind: fc.constant('repeat'), at, length }),
);

/** What a broken disk, a bad proxy or somebody with ideas makes of bytes: one to four things, one after the other. */
export const damages = fc.array(damage, { minLength: 1, maxLength: 4 });

/**
 * Does them to a copy.
 *
 * @example
 * fc.property(damages, (list) => scanBody(damaged(body, list))); // never throws
 */
export function damaged(bytes: Uint8Array, list: Damage[]): Buffer {
  return list.reduce(one, Buffer.from(bytes));
}

function one(bytes: Buffer, damage: Damage): Buffer {
  const from = damage.at % Math.max(1, bytes.length);
  if (damage.kind === 'flip') {
    const flipped = Buffer.from(bytes);
    if (flipped.length > 0) flipped[from] = (flipped[from] as number) ^ (1 << damage.bit);
    return flipped;
  }
  if (damage.kind === 'insert') return Buffer.concat([bytes.subarray(0, from), damage.bytes, bytes.subarray(from)]);
  const part = bytes.subarray(from, from + damage.length);
  if (damage.kind === 'repeat') return Buffer.concat([bytes.subarray(0, from), part, bytes.subarray(from)]);
  const rest = Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + damage.length)]);
  if (damage.kind === 'cut') return rest;
  const to = damage.to % (rest.length + 1);
  return Buffer.concat([rest.subarray(0, to), part, rest.subarray(to)]);
}
