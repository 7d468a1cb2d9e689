import { describe, expect, test } from '@jest/globals';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { decodeToken } from '../../src/core/json-text.ts';
import { scanBody } from '../../src/core/scan-body.ts';
import { renderBody } from '../../src/core/splice.ts';
import { anyValue, list, type Members, object, string, type Value, words, written } from './fixtures/odd-json.ts';

/** Keys that may stand once, where the scanner reads them. */
const ONCE = {
  body: [
    'messages',
    'system',
    'tools',
    'model',
    'stream',
    'max_tokens',
    'metadata',
    'output_config',
    'context_management',
  ],
  message: ['role', 'content'],
  block: ['type', 'text', 'cache_control'],
};

const membersOf = (keys: string[], value: fc.Arbitrary<Value>, minLength = 0) =>
  fc.array(
    fc.tuple(fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...keys) }, { weight: 1, arbitrary: words }), value),
    {
      minLength,
      maxLength: 5,
    },
  );
const unique = (members: [string, Value][]) => object([...new Map(members)]);
const often = <T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 12, arbitrary: usual }, { weight: 1, arbitrary: rare });

const word = words.map(string);
const block = often(
  fc.oneof(
    membersOf(['type', 'text', 'cache_control', 'tool_use_id', 'is_error', 'content'], fc.oneof(word, anyValue)).map(
      unique,
    ),
    words.map((text) =>
      object([
        ['type', string('text')],
        ['text', string(text)],
      ]),
    ),
  ),
  fc.oneof(anyValue, membersOf(ONCE.block, word).map(object)),
);
const blocks = fc.array(block, { maxLength: 3 }).map(list);
const content = often(fc.oneof(word, blocks), anyValue);
const message = often(
  fc.tuple(fc.constantFrom('user', 'assistant', 'system'), content, anyValue).map(([role, one, more]) =>
    object([
      ['role', string(role)],
      ['content', one],
      ['more', more],
    ]),
  ),
  fc.oneof(anyValue, membersOf(ONCE.message, content).map(object)),
);
const messages = fc.array(message, { maxLength: 4 }).map(list);
const request = fc
  .tuple(
    fc.subarray([...ONCE.body.slice(1), 'temperature', 'thinking'], { maxLength: 4 }),
    fc.array(anyValue, { minLength: 4, maxLength: 4 }),
    often(messages, anyValue),
    often(fc.constant<string[]>([]), fc.subarray([...ONCE.body, 'temperature'], { maxLength: 1 })),
    fc.nat({ max: 4 }),
  )
  .map(([keys, values, said, again, place]) => {
    const members = keys.map((key, index): [string, Value] => [key, values[index] as Value]);
    const all: [string, Value][] = [...members.toSpliced(place, 0, ['messages', said])];
    return object([...all, ...again.map((key): [string, Value] => [key, said])]);
  });

const isTwice = ({ members }: Members, once: string[]) =>
  members.some(([key], index) => once.includes(key) && members.findIndex(([other]) => other === key) < index);
const memberOf = ({ members }: Members, key: string) => members.find(([name]) => name === key)?.[1];

/** What the scanner is to say of content or of `system`; `doubt` where a key stands twice. */
function outline(value: Value | undefined): unknown {
  if (value?.kind === 'string') return [['text', value.text, false]];
  if (value?.kind !== 'list') return undefined;
  const outlines = value.items.map((one) => {
    if (one.kind !== 'object') return ['', undefined, false];
    if (isTwice(one, ONCE.block)) return 'doubt';
    const [type, text] = ['type', 'text'].map((key) => memberOf(one, key));
    return [
      type?.kind === 'string' ? type.text : '',
      text?.kind === 'string' ? text.text : undefined,
      memberOf(one, 'cache_control') !== undefined,
    ];
  });
  return outlines.includes('doubt') ? 'doubt' : outlines;
}

/** What the scanner is to say of a whole body; undefined where it must not follow it. */
function expected(value: Value) {
  if (value.kind !== 'object' || isTwice(value, ONCE.body)) return undefined;
  const said = memberOf(value, 'messages');
  const tools = memberOf(value, 'tools');
  if (said?.kind !== 'list') return undefined;
  const system = outline(memberOf(value, 'system'));
  const told = said.items.map((one) => {
    if (one.kind !== 'object') return ['', undefined];
    if (isTwice(one, ONCE.message)) return 'doubt';
    const role = memberOf(one, 'role');
    const inner = outline(memberOf(one, 'content'));
    return inner === 'doubt' ? inner : [role?.kind === 'string' ? role.text : '', inner];
  });
  if (system === 'doubt' || told.includes('doubt')) return undefined;
  return { messages: told, system, tools: tools?.kind === 'list' ? tools.items.length : undefined };
}

function found(bytes: Buffer) {
  const tree = scanBody(bytes);
  const outlineOf = (of: NonNullable<typeof tree>['system']) =>
    of?.blocks.map(({ type, text, cacheControl }) => [
      type,
      text && decodeToken(bytes, text),
      cacheControl !== undefined,
    ]);
  return (
    tree && {
      messages: tree.messages.map(({ role, content: of }) => [role, outlineOf(of)]),
      system: outlineOf(tree.system),
      tools: tree.tools,
    }
  );
}

describe('scanBody, of any JSON', () => {
  test('finds what is there in any writing, and follows nothing in which a key of its own stands twice', () => {
    const met = new Set<string>();

    holds(
      fc.property(
        fc.oneof({ weight: 20, arbitrary: request }, { weight: 1, arbitrary: anyValue }),
        fc.nat(),
        (value, style) => {
          const bytes = Buffer.from(written(value, style));
          const told = expected(value);
          met.add(told ? 'followed' : 'not followed');
          if (told?.messages.length) met.add('messages');

          // What the generator writes is JSON.
          expect(() => JSON.parse(bytes.toString()) as unknown).not.toThrow();
          expect(found(bytes)).toEqual(told);
        },
      ),
      1_000,
    );

    reaches(met, ['followed', 'messages', 'not followed']);
  });

  test('gives every member that it tells of as JSON.parse does', () => {
    holds(
      fc.property(request, fc.nat(), (value, style) => {
        const bytes = Buffer.from(written(value, style));
        const tree = scanBody(bytes);
        const parsed = tree ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {};

        for (const [key, { start, end }] of tree?.members ?? [])
          expect([key, JSON.parse(bytes.toString('utf8', start, end))]).toEqual([key, parsed[key]]);
        if (tree) expect(renderBody(tree)).toBe(bytes);
      }),
      300,
    );
  });

  test.each([
    ['a mark in front', (body: string) => `\ufeff${body}`],
    ['something behind', (body: string) => `${body},`],
    ['a second value behind', (body: string) => `${body} {}`],
    ['a comma too many', (body: string) => body.replace('[', '[,')],
    ['a form feed', (body: string) => `\f${body}`],
    ['a no-break space', (body: string) => `\u00a0${body}`],
  ])('follows no body with %s', (_, spoilt) => {
    holds(
      fc.property(messages, fc.nat(), (said, style) => {
        const body = spoilt(written(object([['messages', said]]), style));
        expect(() => JSON.parse(body) as unknown).toThrow();
        return scanBody(Buffer.from(body)) === undefined;
      }),
      20,
    );
  });

  test('is at its end with any depth, and follows what is not too deep', () => {
    const nest = (depth: number, open: string, close: string) =>
      `{"messages":[],"x":${open.repeat(depth)}1${close.repeat(depth)}}`;
    const followed = (depth: number) =>
      [nest(depth, '[', ']'), nest(depth, '{"x":', '}'), nest(depth, '[{"x":', '}]')].map(
        (body) => scanBody(Buffer.from(body)) !== undefined,
      );

    expect([10, 400, 1_000, 100_000].map(followed)).toEqual([
      [true, true, true],
      [true, true, true],
      [false, false, false],
      [false, false, false],
    ]);
  });
});
