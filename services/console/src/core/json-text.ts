import { applyEdits, createScanner, type Edit, type Node, type ParseError, parseTree } from 'jsonc-parser';

/** The text is no JSON, or not of the shape that was expected; the message says where. */
export class JsonTextError extends Error {
  override name = 'JsonTextError';
}

/** A name with its value; in a list without a name. */
type Member = readonly [name: string | undefined, value: unknown];

const INDENT = '  ';

/**
 * Parses JSON that may hold comments and trailing commas; undefined when there is nothing but blanks and comments.
 *
 * @throws JsonTextError with line and column
 */
export function parseJsonText(text: string): Node | undefined {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
  const [error] = errors;
  if (error) throw new JsonTextError(`expected JSON, got something else at ${placeOf(text, error.offset)}`);
  return root;
}

/** The value of a member; of several that share a name the last one, which is the one that JSON.parse takes. */
export function findMember(object: Node, name: string): Node | undefined {
  return object.children?.findLast(({ children }) => children?.[0]?.value === name)?.children?.[1];
}

/**
 * Puts members into the object at a path, and makes what lacks of the path. A member that is there gets its new value; new ones come
 * first. Every byte outside stays: `modify` of jsonc-parser would lay out the neighbours anew, too.
 *
 * @throws JsonTextError
 *
 * @example
 * putMembers('{"a":1}', ['env'], { TEA: 'four' }); // '{"env": {"TEA":"four"}, "a":1}'
 */
export function putMembers(text: string, path: readonly string[], members: Record<string, unknown>): string {
  const found = findContainer(text, path, 'object', members);
  if (typeof found === 'string') return found;
  const edits: Edit[] = [];
  const missing: Member[] = [];
  for (const [name, value] of Object.entries(members)) {
    const node = findMember(found, name);
    if (!node) missing.push([name, value]);
    else if (node.value !== value)
      edits.push({ offset: node.offset, length: node.length, content: JSON.stringify(value) });
  }
  if (missing.length > 0) edits.push(insertion(text, found, missing));
  return applyEdits(text, edits);
}

/** Puts an item into the list at a path, before all others. */
export function putItem(text: string, path: readonly string[], item: unknown): string {
  const found = findContainer(text, path, 'array', [item]);
  return typeof found === 'string' ? found : applyEdits(text, [insertion(text, found, [[undefined, item]])]);
}

/** Replaces the text of a value by another text. */
export function replaceNode(text: string, { offset, length }: Node, content: string): string {
  return applyEdits(text, [{ offset, length, content }]);
}

/**
 * Takes a member or an item out, with its line break and its comma; comments beside it stay.
 *
 * @param node a member's value, or an item of a list
 */
export function removeNode(text: string, node: Node): string {
  const whole = node.parent?.type === 'property' ? node.parent : node;
  const siblings = whole.parent?.children ?? [];
  const [start, end] = [startOfLine(text, whole.offset), endOf(whole)];
  const after = commaAt(text, end);
  if (after !== undefined) {
    // On a line with others it goes with the blank behind it, on one of its own with the line break before.
    const isOwnLine = /^\r?\n/.test(text.slice(start, whole.offset));
    const [from, to] = isOwnLine ? [start, after + 1] : [whole.offset, after + (text[after + 1] === ' ' ? 2 : 1)];
    return applyEdits(text, [{ offset: from, length: to - from, content: '' }]);
  }
  const edits = [{ offset: start, length: end - start, content: '' }];
  const previous = siblings[siblings.indexOf(whole) - 1];
  const before = previous && commaAt(text, endOf(previous));
  // Where the comma is the last thing before it, the two edits touch, and do not overlap.
  if (before !== undefined) edits.push({ offset: before, length: 1, content: '' });
  return applyEdits(text, edits);
}

/** The container at the path; or the whole new text, where it was not there and now is, with what it is to hold. */
function findContainer(text: string, path: readonly string[], type: 'object' | 'array', content: unknown) {
  let node = parseJsonText(text);
  const nest = (names: readonly string[]) => names.reduceRight<unknown>((inner, name) => ({ [name]: inner }), content);
  if (!node) {
    const eol = eolOf(text);
    const start = text === '' || text.endsWith('\n') ? text : text + eol;
    return `${start}${pretty(nest(path), eol, '', indentOf(text))}${eol}`;
  }
  for (const [depth, name] of path.entries()) {
    requireType(text, node, 'object', path.slice(0, depth));
    const next = findMember(node, name);
    if (!next) return applyEdits(text, [insertion(text, node, [[name, nest(path.slice(depth + 1))]])]);
    node = next;
  }
  requireType(text, node, type, path);
  return node;
}

function requireType(text: string, node: Node, type: 'object' | 'array', path: readonly string[]): void {
  if (node.type === type) return;
  const what = path.length > 0 ? path.join('.') : 'the whole';
  const expected = type === 'array' ? 'a list' : 'an object';
  throw new JsonTextError(`expected ${what} to be ${expected}, got ${node.type} at ${placeOf(text, node.offset)}`);
}

/** Where lines are broken, right behind the bracket: a comment beside the first or the last member still is beside it. */
function insertion(text: string, container: Node, members: readonly Member[]): Edit {
  const first = container.children?.[0];
  const offset = container.offset + 1;
  const gap = text.slice(offset, first?.offset ?? endOf(container) - 1);
  if (first && !gap.includes('\n')) {
    const line = members.map(([name, value]) => `${labelled(name, JSON.stringify(value))}, `).join('');
    return { offset: first.offset, length: 0, content: line };
  }
  const [eol, unit] = [eolOf(text), indentOf(text)];
  const outer = unit.repeat(depthOf(container));
  const indent = (first && /\n([ \t]*)$/.exec(gap)?.[1]) ?? outer + unit;
  const lines = members.map(([name, value]) => `${eol}${indent}${labelled(name, pretty(value, eol, indent, unit))}`);
  const closing = gap.includes('\n') ? '' : eol + outer;
  return { offset, length: 0, content: lines.join(',') + (first ? ',' : closing) };
}

function labelled(name: string | undefined, value: string): string {
  return name === undefined ? value : `${JSON.stringify(name)}: ${value}`;
}

function pretty(value: unknown, eol: string, indent: string, unit: string): string {
  return JSON.stringify(value, null, unit).replaceAll('\n', eol + indent);
}

function eolOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n';
}

function indentOf(text: string): string {
  return /\n([ \t]+)["[{]/.exec(text)?.[1] ?? INDENT;
}

function depthOf({ parent }: Node): number {
  if (!parent) return 0;
  return depthOf(parent) + (parent.type === 'property' ? 0 : 1);
}

function endOf({ offset, length }: Node): number {
  return offset + length;
}

/** Where a comma follows with nothing but blanks and comments before it. */
function commaAt(text: string, offset: number): number | undefined {
  const scanner = createScanner(text, true);
  scanner.setPosition(offset);
  scanner.scan();
  return text[scanner.getTokenOffset()] === ',' ? scanner.getTokenOffset() : undefined;
}

/** The line break and the blanks before an offset belong to what stands there. */
function startOfLine(text: string, offset: number): number {
  return offset - (/(?:\r?\n)?[ \t]*$/.exec(text.slice(0, offset))?.[0].length ?? 0);
}

function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `line ${before.length}, column ${(before.at(-1) as string).length + 1}`;
}
