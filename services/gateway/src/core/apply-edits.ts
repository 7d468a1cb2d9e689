import { type Edit, parsePointer } from '@loom/shared/edit.ts';
import { CANARY } from '@loom/shared/metadata.ts';
import type { Sha256 } from './anchor.ts';
import {
  type Block,
  type BlockList,
  type BodyTree,
  keptBlocks,
  keptMessages,
  type Message,
  newBlock,
} from './body-tree.ts';
import { isEditable, moveCacheControl } from './cache-control.ts';
import { effectiveText } from './human-text.ts';
import { encodeToken } from './json-text.ts';
import type { DurableEdit } from './ledger.ts';

/** The text of `system[0]` that api.anthropic.com strips by position: never altered, nothing put before it. */
const ATTRIBUTION = 'x-anthropic-billing-header:';
const MAX_EDIT_CHARACTERS = 262_144;

/** What a rewriter's edits did: all of them, or none. */
export type EditResult =
  | { applied: true; touched: Set<Message>; durable: { message: Message; edit: DurableEdit }[] }
  | { applied: false; reason: string };

export interface EditContext {
  rewriter: string;
  /** The blocks as the event showed them: pointers count these, whatever an earlier rewriter did since. */
  shown: ShownBlocks;
  anchors: Map<Message, string>;
  sha256: Sha256;
}

export type ShownBlocks = Map<BlockList, Block[]>;

/** Takes down what pointers will count, before the first rewriter's edits are applied. */
export function showBlocks(tree: BodyTree): ShownBlocks {
  const lists = keptMessages(tree).flatMap(({ content }) => content ?? []);
  if (tree.system) lists.push(tree.system);
  return new Map(lists.map((list) => [list, keptBlocks(list)]));
}

/** The edits break a rule of the contract; the message says which. */
class Refused extends Error {}

/**
 * Applies the edits of one rewriter to a tree: RFC 6902 in order, all or none. Pointers address the request as its event
 * showed it; edits that an earlier rewriter (or the ledger) made in the meantime do not move them, and are not to be
 * edited again.
 *
 * @example
 * applyEdits(tree, [{ op: 'replace', path: '/system/1/text', value: 'I am Alpha.' }], context); // { applied: true, … }
 */
export function applyEdits(tree: BodyTree, edits: Edit[], context: EditContext): EditResult {
  const plan = new Plan(tree, context);
  try {
    if (JSON.stringify(edits).length > MAX_EDIT_CHARACTERS)
      throw new Refused(`more than ${MAX_EDIT_CHARACTERS} characters`);
    for (const edit of edits) plan.add(edit);
  } catch (error) {
    if (error instanceof Refused) return { applied: false, reason: error.message };
    throw error;
  }
  plan.commit();
  return { applied: true, touched: plan.touched, durable: plan.durable };
}

interface Target {
  list: BlockList;
  message: Message | undefined;
  index: string;
  isText: boolean;
}

/** The edits of one rewriter, checked one after the other against what the ones before it will have done. */
class Plan {
  readonly touched = new Set<Message>();
  readonly durable: { message: Message; edit: DurableEdit }[] = [];
  readonly #tree: BodyTree;
  readonly #context: EditContext;
  readonly #messages: Message[];
  readonly #lists = new Map<BlockList, Block[]>();
  readonly #texts = new Map<Block, string>();
  readonly #commits: (() => void)[] = [];

  constructor(tree: BodyTree, context: EditContext) {
    this.#tree = tree;
    this.#context = context;
    this.#messages = keptMessages(tree);
  }

  commit(): void {
    for (const commit of this.#commits) commit();
  }

  add(edit: Edit): void {
    const target = this.#target(edit.path);
    if (edit.op === 'test') {
      this.#test(edit.value, target);
      return;
    }
    if ('durable' in edit && edit.durable) this.#checkDurable(edit, target);
    if (JSON.stringify(edit).includes(CANARY)) throw new Refused('an edit holds the metadata canary');
    if (edit.op === 'add') this.#insert(edit.value.text, target, edit.durable === true);
    else if (edit.op === 'remove') this.#remove(target);
    else this.#replace(edit.value, target, edit.durable === true);
    if (target.message) this.touched.add(target.message);
  }

  #target(path: string): Target {
    const [root, ...rest] = parsePointer(path);
    if (root === 'system' && this.#tree.system) return this.#inList(path, this.#tree.system, undefined, rest);
    if (root !== 'messages') throw new Refused(`${path} is neither in system nor in a message`);
    const message = this.#messages[Number(rest[0])];
    if (!message || !/^(0|[1-9]\d*)$/.test(rest[0] as string)) throw new Refused(`${path} names no message`);
    if (!isEditable(message)) throw new Refused(`${path} is in a message of role ${message.role}`);
    if (rest[1] !== 'content' || !message.content) throw new Refused(`${path} is not in a message's content`);
    return this.#inList(path, message.content, message, rest.slice(2));
  }

  #inList(path: string, list: BlockList, message: Message | undefined, rest: string[]): Target {
    const [index, member, ...more] = rest;
    const known = index === '-' || /^(0|[1-9]\d*)$/.test(index ?? '');
    if (!known || more.length > 0 || (member !== undefined && member !== 'text'))
      throw new Refused(`${path} names no block or text`);
    return { list, message, index: index as string, isText: member === 'text' };
  }

  #blocks(list: BlockList): Block[] {
    let blocks = this.#lists.get(list);
    if (!blocks) {
      blocks = [...(this.#context.shown.get(list) ?? [])];
      this.#lists.set(list, blocks);
    }
    return blocks;
  }

  #block({ list, index }: Target): Block {
    const block = this.#blocks(list)[Number(index)];
    if (!block) throw new Refused(`no block ${index}`);
    return block;
  }

  /** A text block that is this rewriter's to change. */
  #ownText(target: Target): Block {
    const block = this.#block(target);
    const text = this.#textOf(block);
    if (block.type !== 'text' || text === undefined)
      throw new Refused(`block ${target.index} is of type ${block.type}, not text`);
    if (block.removed) throw new Refused(`block ${target.index} was removed by an earlier rewriter`);
    if (block.writtenBy) throw new Refused(`block ${target.index} was written by ${block.writtenBy}`);
    if (!target.message && text.startsWith(ATTRIBUTION)) throw new Refused('the attribution block is not to be edited');
    return block;
  }

  #textOf(block: Block): string | undefined {
    return this.#texts.get(block) ?? effectiveText(this.#tree, block);
  }

  #test(value: unknown, target: Target): void {
    const text = this.#textOf(this.#block(target));
    const actual = target.isText ? text : { type: this.#block(target).type, text };
    if (JSON.stringify(actual) !== JSON.stringify(value)) throw new Refused(`a test failed at block ${target.index}`);
  }

  #replace(value: string | { text: string }, target: Target, durable: boolean): void {
    if (target.isText !== (typeof value === 'string'))
      throw new Refused('a text is replaced by a string, a block by a text block');
    const block = this.#ownText(target);
    const text = typeof value === 'string' ? value : value.text;
    const token = encodeToken(text);
    if (durable) {
      const of = this.#context.sha256(this.#textOf(block) as string);
      this.#keep(target, { kind: 'replace', of, json: token.toString() });
    }
    this.#texts.set(block, text);
    this.#commits.push(() => {
      block.cuts = [];
      block.newText = token;
      block.writtenBy = this.#context.rewriter;
    });
  }

  #insert(text: string, { list, message, index, isText }: Target, durable: boolean): void {
    if (isText) throw new Refused('a text is replaced, not added');
    const blocks = this.#blocks(list);
    const place = index === '-' ? blocks.length : Number(index);
    if (place > blocks.length) throw new Refused(`no place ${index} among ${blocks.length} blocks`);
    const next = blocks[place];
    if (!message && next && this.#textOf(next)?.startsWith(ATTRIBUTION)) {
      throw new Refused('nothing goes before the attribution block');
    }
    const block = newBlock(list.end, list.end, 'text');
    block.bytes = Buffer.from(JSON.stringify({ type: 'text', text }));
    if (durable) this.#keep({ message }, { kind: 'append', json: block.bytes.toString() });
    blocks.splice(place, 0, block);
    this.#commits.push(() => {
      block.writtenBy = this.#context.rewriter;
      list.blocks.splice(next ? list.blocks.indexOf(next) : list.blocks.length, 0, block);
    });
  }

  #remove(target: Target): void {
    if (target.isText) throw new Refused('a block is removed whole, not its text');
    const block = this.#ownText(target);
    const blocks = this.#blocks(target.list);
    if (blocks.length === 1) throw new Refused('the only block of a list cannot be removed');
    blocks.splice(blocks.indexOf(block), 1);
    this.#commits.push(() => {
      block.removed = true;
      moveCacheControl(this.#tree, target.list, block);
    });
  }

  #checkDurable(edit: Edit, { message, index, isText }: Target): void {
    if (!message || !this.#context.anchors.has(message))
      throw new Refused('a durable edit needs a user message with an anchor');
    const isAppend = edit.op === 'add' && index === '-';
    const isReplace = edit.op === 'replace' && isText;
    if (!isAppend && !isReplace) throw new Refused('durable goes with replace of a text, or with add at the end');
  }

  #keep({ message }: Pick<Target, 'message'>, edit: DurableEdit): void {
    this.durable.push({ message: message as Message, edit });
  }
}
