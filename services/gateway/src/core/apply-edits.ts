import type { Edit } from '@loom/shared/edit.ts';
import { CANARY } from '@loom/shared/metadata.ts';
import type { Sha256 } from './anchor.ts';
import { isAttribution } from './attribution.ts';
import {
  type Block,
  type BlockList,
  type BodyTree,
  keptBlocks,
  keptMessages,
  type Message,
  newBlock,
} from './body-tree.ts';
import { moveCacheControls } from './cache-control.ts';
import { findTarget, Refused, type Target } from './edit-target.ts';
import { effectiveText } from './human-text.ts';
import { encodeToken } from './json-text.ts';
import type { DurableEdit } from './ledger.ts';

const MAX_EDIT_CHARACTERS = 262_144;

/** What a rewriter's edits did: all of them, or none. */
export type EditResult =
  | {
      applied: true;
      touched: Set<Message>;
      durable: { message: Message; edit: DurableEdit }[];
      /** Of the texts that they changed, put in or took out. */
      bytes: { before: number; after: number };
    }
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

/**
 * Applies the edits of one rewriter to a tree: RFC 6902 in order, all or none. Pointers address the request as its event
 * showed it; edits that an earlier rewriter (or the ledger) made in the meantime do not move them, and are not to be
 * edited again, no more than a block that the same answer put in. A durable edit is the only one of its text, which
 * stands once in its message, or a later request could not tell where it belongs.
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
  return { applied: true, touched: plan.touched, durable: plan.durable, bytes: plan.bytes };
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
  readonly #inserted = new Map<Block, BlockList>();
  readonly #removed: { list: BlockList; block: Block }[] = [];
  /** How often each of the client's texts stands in a list. */
  readonly #clientTexts = new Map<BlockList, Map<string, number>>();
  readonly #durablyReplaced = new Set<Block>();
  readonly #commits: (() => void)[] = [];
  /** How long the texts of changed blocks were, and will be; bytes. */
  readonly #lengths = new Map<Block, { before: number; after: number }>();

  constructor(tree: BodyTree, context: EditContext) {
    this.#tree = tree;
    this.#context = context;
    this.#messages = keptMessages(tree);
  }

  get bytes(): { before: number; after: number } {
    const lengths = [...this.#lengths.values()];
    const sum = (side: 'before' | 'after') => lengths.reduce((total, length) => total + length[side], 0);
    return { before: sum('before'), after: sum('after') };
  }

  commit(): void {
    for (const commit of this.#commits) commit();
    moveCacheControls(this.#tree, this.#removed);
  }

  add(edit: Edit): void {
    const target = findTarget(this.#tree, this.#messages, edit.path);
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
    if (this.#inserted.has(block)) throw new Refused(`block ${target.index} was inserted by the same answer`);
    if (this.#durablyReplaced.has(block)) throw new Refused(`block ${target.index} is replaced durably, once`);
    if (block.removed) throw new Refused(`block ${target.index} was removed by an earlier rewriter`);
    if (block.writtenBy) throw new Refused(`block ${target.index} was written by ${block.writtenBy}`);
    if (!target.message && isAttribution(this.#tree, block))
      throw new Refused('the attribution block is not to be edited');
    return block;
  }

  #textOf(block: Block): string | undefined {
    return this.#texts.get(block) ?? effectiveText(this.#tree, block);
  }

  #measure(block: Block, before: string | undefined, after: string): void {
    const first = this.#lengths.get(block)?.before ?? Buffer.byteLength(before ?? '');
    this.#lengths.set(block, { before: first, after: Buffer.byteLength(after) });
  }

  #test(value: unknown, target: Target): void {
    const block = this.#block(target);
    const text = this.#textOf(block);
    const holds = target.isText ? text !== undefined && value === text : isBlock(value, block.type, text);
    if (!holds) throw new Refused(`a test failed at block ${target.index}`);
  }

  #replace(value: string | { text: string }, target: Target, durable: boolean): void {
    if (target.isText !== (typeof value === 'string'))
      throw new Refused('a text is replaced by a string, a block by a text block');
    const block = this.#ownText(target);
    const text = typeof value === 'string' ? value : value.text;
    const token = encodeToken(text);
    if (durable) {
      const of = this.#context.sha256(this.#onlyText(target, block));
      this.#durablyReplaced.add(block);
      this.#keep(target, { kind: 'replace', of, json: token.toString() });
    }
    this.#measure(block, this.#textOf(block), text);
    this.#texts.set(block, text);
    this.#commits.push(() => {
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
    if (!message && next && isAttribution(this.#tree, next))
      throw new Refused('nothing goes before the attribution block');
    const block = newBlock(list.end, list.end, 'text');
    block.bytes = Buffer.from(JSON.stringify({ type: 'text', text }));
    if (durable) {
      const isOwn = (one: BlockList) => one === list;
      const behind =
        list.blocks.filter(({ bytes }) => bytes).length + [...this.#inserted.values()].filter(isOwn).length;
      this.#keep({ message }, { kind: 'append', json: block.bytes.toString(), ...(behind > 0 && { behind }) });
    }
    this.#inserted.set(block, list);
    this.#measure(block, '', text);
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
    if (blocks.filter(({ removed }) => !removed).length === 1)
      throw new Refused('the only block of a list cannot be removed');
    blocks.splice(blocks.indexOf(block), 1);
    this.#measure(block, this.#textOf(block), '');
    this.#removed.push({ list: target.list, block });
    this.#commits.push(() => {
      block.removed = true;
    });
  }

  /** The client's text of a block, if no other block of its message has the same and this answer left it alone so far. */
  #onlyText({ list, index }: Target, block: Block): string {
    if (this.#texts.has(block)) throw new Refused(`block ${index} is replaced durably, once`);
    const text = this.#clientText(block) as string;
    if ((this.#clientTextsOf(list).get(text) ?? 0) > 1)
      throw new Refused(`a durable edit needs a text that stands once in its message, unlike block ${index}`);
    return text;
  }

  #clientText(block: Block): string | undefined {
    return effectiveText(this.#tree, { ...block, newText: undefined });
  }

  #clientTextsOf(list: BlockList): Map<string, number> {
    let counts = this.#clientTexts.get(list);
    if (!counts) {
      counts = new Map();
      for (const block of keptBlocks(list)) {
        const text = block.bytes ? undefined : this.#clientText(block);
        if (text !== undefined) counts.set(text, (counts.get(text) ?? 0) + 1);
      }
      this.#clientTexts.set(list, counts);
    }
    return counts;
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

/** Whether a value says of a block what its event shows of it. */
function isBlock(value: unknown, type: string, text: string | undefined): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const said = value as { type?: unknown; text?: unknown };
  const { type: saidType, text: saidText, ...more } = said;
  return saidType === type && saidText === text && Object.keys(more).length === 0;
}
