import { describe, expect, test } from '@jest/globals';
import { Edit } from '@loom/shared/edit.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import fc from 'fast-check';
import { anchorsOf } from '../../src/core/anchor.ts';
import { applyEdits, showBlocks } from '../../src/core/apply-edits.ts';
import { assistant, type Body, CACHE, renderedText, sha256, text, treeOf } from './fixtures/body.ts';

type Block = Record<string, unknown>;
type Lists = Map<string, Block[]>;

const words = fc.oneof(fc.constantFrom('a', 'b', 'c'), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }));
const block = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(words, fc.constantFrom({}, {}, { cache_control: CACHE }))
      .map(([word, more]) => text(word, more)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<object>({ type: 'tool_result', content: 'x' }, { type: 'image', cache_control: CACHE }),
  },
);
const content = fc.oneof(words, fc.array(block, { minLength: 1, maxLength: 4 }));
const body = fc
  .record(
    {
      messages: fc
        .array(fc.tuple(fc.constantFrom('user', 'user', 'system'), content), { minLength: 1, maxLength: 3 })
        .map((said) => said.flatMap(([role, one]) => [{ role, content: one }, assistant(text('answer'))])),
      system: content,
    },
    { requiredKeys: ['messages'] },
  )
  .chain((value) => fc.constantFrom(undefined, 1).map((space) => JSON.stringify(value, null, space)));

/** A pointer that names no block: none of the rewriters' business, or malformed. */
const odd = fc.constantFrom(
  ...['/messages/1/content/0', '/messages/0', '/tools/0', '/messages/0/role', '/messages/00/content/0', '/system/01'],
  ...[
    '/messages/0/content/1e0',
    '/messages/0/content/__proto__',
    '/messages/0/content/0/text/0',
    '/messages/9/content/0',
    '/',
  ],
);
/** Which block, by numbers that are taken modulo what there is. */
const at = fc.record({
  list: fc.nat(),
  index: fc.nat(),
  odd: fc.oneof({ weight: 15, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: odd }),
});
const value = words.map((word) => text(word) as { type: 'text'; text: string });
const durable = fc.constantFrom<{ durable?: true }>({}, {}, {}, { durable: true });
const operation = fc.oneof(
  fc.tuple(value, durable).map(([added, more]) => ({ op: 'add' as const, value: added, ...more })),
  fc.tuple(words, durable).map(([word, more]) => ({ op: 'replace' as const, value: word, ...more })),
  value.map((whole) => ({ op: 'replace' as const, value: whole })),
  fc.constant({ op: 'remove' as const }),
  fc.oneof(words, fc.constant(undefined)).map((word) => ({ op: 'test' as const, value: word })),
);
const plan = fc.array(fc.tuple(at, operation), { minLength: 1, maxLength: 4 });
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never;

/** The edits of a plan for a body: most of them name a block that there is. */
function editsOf(json: string, planned: Plan): Edit[] {
  const lists = [...listsOf(JSON.parse(json) as Body)].filter(([pointer]) => !/[135]\/content$/.test(pointer));
  return planned.map(([place, given]): Edit => {
    const [pointer, blocks] = lists[place.list % lists.length] as [string, Block[]];
    const index = place.index % blocks.length;
    const isText = given.op === 'test' || (given.op === 'replace' && typeof given.value === 'string');
    const isEnd = given.op === 'add' && (place.index % 3 > 0 || 'durable' in given);
    const path = place.odd ?? `${pointer}/${isEnd ? '-' : index}${isText ? '/text' : ''}`;
    if (given.op === 'test') return { op: 'test', path, value: given.value ?? blocks[index]?.['text'] };
    return { ...given, path };
  });
}

/** The lists of a body as pointers count them: a string is a list of one text block. */
function listsOf({ system, messages }: Body): Lists {
  const blocks = (one: Body['messages'][number]['content']) => (typeof one === 'string' ? [text(one)] : one);
  const lists: Lists = new Map(
    messages.map((message, index) => [`/messages/${index}/content`, blocks(message.content)]),
  );
  return system === undefined ? lists : lists.set('/system', blocks(system));
}

/** RFC 6902, as it is written there. */
function apply(lists: Lists, { op, path: pointer, ...more }: Edit): void {
  const [, at = '', index = '', member] = /^(.*?)\/([^/]*)(\/text)?$/.exec(pointer) ?? [];
  const blocks = lists.get(at);
  if (!blocks) throw new Error(`no list ${pointer}`);
  const given = (more as { value?: unknown }).value;
  if (op === 'add') blocks.splice(index === '-' ? blocks.length : Number(index), 0, given as Block);
  else if (op === 'remove') blocks.splice(Number(index), 1);
  else if (op === 'replace' && member) blocks[Number(index)] = { ...blocks[Number(index)], text: given };
  else if (op === 'replace') blocks[Number(index)] = { ...blocks[Number(index)], ...(given as Block) };
}

const markers = (json: string) => json.match(/"cache_control":/g)?.length ?? 0;
const unmarked = (lists: Lists) =>
  [...lists].map(([at, blocks]) => [at, blocks.map(({ cache_control: _, ...rest }) => rest)]);

function applied(json: string, list: Edit[]) {
  const tree = treeOf(json);
  const context = { rewriter: 'scribe', shown: showBlocks(tree), anchors: anchorsOf(tree, 's1', sha256), sha256 };
  const result = applyEdits(tree, list, context);
  return { tree, context, result, output: renderedText(tree) };
}

describe('applyEdits, of any edits', () => {
  test('does what RFC 6902 says, or nothing at all', () => {
    const met = new Map<string, number>();
    holds(
      fc.property(body, plan, (json, planned) => {
        const list = editsOf(json, planned);
        expect(list.every((one) => Edit.safeParse(one).success)).toBe(true);

        const { result, output } = applied(json, list);

        const reason = result.applied ? `applied ${new Set(list.map(({ op }) => op)).size}` : 'refused';
        met.set(reason, (met.get(reason) ?? 0) + 1);
        if (!result.applied) {
          expect(output).toBe(json);
          return;
        }
        const lists = listsOf(JSON.parse(json) as Body);
        for (const one of list) apply(lists, one);
        expect(unmarked(listsOf(JSON.parse(output) as Body))).toEqual(unmarked(lists));
      }),
      2_000,
    );
    // One operation is often allowed, several together seldom: both must come often enough to mean something.
    const often = [...met].flatMap(([reason, times]) => (times > 100 ? reason : []));
    reaches(often, ['applied 1', 'applied 2', 'refused']);
  });

  test('invents no cache marker, and loses none but where two would meet', () => {
    holds(
      fc.property(body, plan, (json, planned) => {
        const list = editsOf(json, planned);
        const { output } = applied(json, list);
        const removed = list.filter(({ op }) => op === 'remove').length;

        expect(markers(output)).toBeLessThanOrEqual(markers(json));
        expect(markers(output)).toBeGreaterThanOrEqual(Math.max(markers(json) - removed, Math.min(1, markers(json))));
      }),
      1_000,
    );
  });

  test('refuses, of the same rewriter, what it has changed already', () => {
    holds(
      fc.property(body, plan, (json, planned) => {
        const list = editsOf(json, planned);
        const { tree, context, result, output } = applied(json, list);
        fc.pre(result.applied && list.some(({ op }) => op === 'replace' || op === 'remove'));

        expect(applyEdits(tree, list, context).applied).toBe(false);
        expect(renderedText(tree)).toBe(output);
      }),
      150,
    );
  });
});
