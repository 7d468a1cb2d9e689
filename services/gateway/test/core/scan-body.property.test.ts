import { describe, expect, test } from '@jest/globals';
import { holds } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import type { BlockList, BodyTree } from '../../src/core/body-tree.ts';
import { decodeToken } from '../../src/core/json-text.ts';
import { scanBody } from '../../src/core/scan-body.ts';
import { renderBody } from '../../src/core/splice.ts';

const words = fc.string({ unit: 'grapheme', maxLength: 20 });
const block = fc.oneof(
  fc.record(
    { type: fc.constantFrom('text', 'thinking'), text: words, cache_control: fc.constant({ type: 'ephemeral' }) },
    { requiredKeys: ['type'] },
  ),
  fc.record({
    type: fc.constant('tool_result'),
    content: fc.oneof(words, fc.array(fc.record({ type: fc.constant('text'), text: words }))),
  }),
  fc.jsonValue({ maxDepth: 2 }),
);
const content = fc.oneof(words, fc.array(block, { maxLength: 4 }), fc.jsonValue({ maxDepth: 1 }));
const message = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record(
      { role: fc.constantFrom('user', 'assistant', 'system'), content, extra: fc.jsonValue({ maxDepth: 2 }) },
      { requiredKeys: [] },
    ),
  },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) },
);
const request = fc.record(
  {
    model: words,
    messages: fc.array(message, { maxLength: 5 }),
    system: content,
    tools: fc.array(fc.jsonValue({ maxDepth: 2 })),
    more: fc.jsonValue(),
  },
  { requiredKeys: ['messages'] },
);
/** JSON as other writers write it: white space, and everything outside ASCII in escapes. */
const json = fc
  .tuple(request, fc.constantFrom(undefined, 1, '\t', '\r\n'), fc.boolean())
  .map(([value, space, isAscii]) => {
    const written = JSON.stringify(value, null, space === '\r\n' ? 2 : space);
    const spaced = space === '\r\n' ? written.replaceAll('\n', '\r\n') : written;
    return isAscii
      ? spaced.replace(/[^\x20-\x7e\s]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      : spaced;
  });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const wordOf = (value: unknown) => (typeof value === 'string' ? value : '');

function outline(value: unknown): unknown {
  if (typeof value === 'string') return [['text', value, false]];
  if (!Array.isArray(value)) return undefined;
  return value.map((one) => {
    if (!isObject(one)) return ['', undefined, false];
    return [wordOf(one['type']), typeof one['text'] === 'string' ? one['text'] : undefined, 'cache_control' in one];
  });
}

function outlineOf(tree: BodyTree, list: BlockList | undefined): unknown {
  return list?.blocks.map(({ type, text, cacheControl }) => [
    type,
    text && decodeToken(tree.bytes, text),
    cacheControl !== undefined,
  ]);
}

describe('scanBody', () => {
  test('finds in any request what JSON.parse finds', () => {
    holds(
      fc.property(json, (written) => {
        const parsed = JSON.parse(written) as Record<string, unknown>;
        const tree = scanBody(Buffer.from(written)) as BodyTree;

        expect({
          messages: tree.messages.map((one) => [one.role, outlineOf(tree, one.content)]),
          spans: tree.messages.map(
            ({ start, end }) => JSON.parse(tree.bytes.subarray(start, end).toString()) as unknown,
          ),
          system: outlineOf(tree, tree.system),
          tools: tree.tools,
        }).toEqual({
          messages: (parsed['messages'] as unknown[]).map((one) =>
            isObject(one) ? [wordOf(one['role']), outline(one['content'])] : ['', undefined],
          ),
          spans: parsed['messages'],
          system: outline(parsed['system']),
          tools: (parsed['tools'] as unknown[] | undefined)?.length,
        });
      }),
      500,
    );
  });

  test('finds the same wherever a body lies in memory, and looks at nothing around it', () => {
    holds(
      fc.property(json, fc.nat({ max: 7 }), (written, offset) => {
        const { bytes, ...found } = scanBody(Buffer.from(written)) as BodyTree;
        const around = Buffer.alloc(bytes.length + 16, '"');
        around.set(bytes, offset);

        const { bytes: _, ...moved } = scanBody(around.subarray(offset, offset + bytes.length)) as BodyTree;

        expect(moved).toEqual(found);
      }),
    );
  });

  test('never throws over any damage, and gives a tree only where brackets, commas and words are those of JSON', () => {
    const damage = fc.record({ at: fc.nat(), remove: fc.nat({ max: 3 }), insert: fc.uint8Array({ maxLength: 3 }) });
    // What lies inside strings is not checked: there, anything that is no quote and no backslash stands for itself.
    const withoutTexts = (bytes: Buffer) =>
      bytes.toString('latin1').replace(/"(?:[^"\\]|\\[\s\S])*"/g, (token) => JSON.stringify(token));

    holds(
      fc.property(json, fc.array(damage, { minLength: 1, maxLength: 3 }), (written, damages) => {
        let bytes = Buffer.from(written);
        for (const { at, remove, insert } of damages) {
          const place = at % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, place), insert, bytes.subarray(place + remove)]);
        }

        const tree = scanBody(bytes);

        if (tree) expect(() => JSON.parse(withoutTexts(bytes)) as unknown).not.toThrow();
      }),
      2_000,
    );
  });

  test('never throws over any bytes', () => {
    holds(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(scanBody(Buffer.from(bytes))).toBeUndefined();
      }),
      500,
    );
  });

  test('any request that is scanned and not changed is the very same buffer', () => {
    holds(
      fc.property(json, (written) => {
        const bytes = Buffer.from(written);

        expect(renderBody(scanBody(bytes) as BodyTree)).toBe(bytes);
      }),
    );
  });
});
