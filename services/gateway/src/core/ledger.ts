import { z } from 'zod';
import type { Sha256 } from './anchor.ts';
import { type Block, type BodyTree, keptBlocks, type Message, newBlock } from './body-tree.ts';
import { effectiveText } from './human-text.ts';

/** JSON that is spliced into a body as it is; a damaged record must not damage requests. */
const json = z.string().refine(isJson, 'expected JSON');

/** A durable edit as the exact bytes (JSON) that go into the body. */
export const DurableEdit = z.discriminatedUnion('kind', [
  /** A block behind the message's last one; `behind` counts the blocks of others that stood there already, 0 if absent. */
  z.strictObject({ kind: z.literal('append'), json, behind: z.int().min(1).optional() }),
  /** A string token in the place of the one text whose SHA-256 is `of`. */
  z.strictObject({ kind: z.literal('replace'), of: z.string(), json }),
]);
export type DurableEdit = z.infer<typeof DurableEdit>;

/** What one rewriter answered about one message; no edits means that it was asked and had nothing to change. */
export const LedgerEntry = z.strictObject({ rewriter: z.string(), order: z.number(), edits: z.array(DurableEdit) });
export type LedgerEntry = z.infer<typeof LedgerEntry>;

export interface ReplayResult {
  replayed: number;
  /** Edits whose text is no longer in the message, which therefore stayed as the client sent it. */
  missed: number;
}

/**
 * Puts the durable edits of earlier requests at their anchors, byte for byte, without asking anyone: the forwarded form
 * of a message stays the same for as long as the client sends it. What was appended first stays first, whatever its
 * rewriter's order: a rewriter that was late once must not push itself in front of what went upstream before.
 *
 * @param entriesAt the entries of an anchor, in any order
 * @param merged the anchors of messages that went into a later one: what was appended to them is appended to that
 */
export function replayLedger(
  tree: BodyTree,
  anchors: Map<Message, string>,
  entriesAt: (anchor: string) => LedgerEntry[],
  sha256: Sha256,
  merged: Map<Message, string[]> = new Map(),
): ReplayResult {
  const result = { replayed: 0, missed: 0 };
  for (const [message, anchor] of anchors) {
    const texts = new ClientTexts(tree, message, sha256);
    for (const head of merged.get(message) ?? []) {
      for (const { rewriter, edit } of inOrder(entriesAt(head)))
        if (edit.kind === 'append' && replayEdit(message, edit, rewriter, texts)) result.replayed++;
    }
    for (const { rewriter, edit } of inOrder(entriesAt(anchor))) {
      if (replayEdit(message, edit, rewriter, texts)) result.replayed++;
      else result.missed++;
    }
  }
  return result;
}

/** The edits of one anchor as they were applied, in whatever order their entries are found. */
function inOrder(entries: LedgerEntry[]): { rewriter: string; edit: DurableEdit }[] {
  return entries
    .toSorted((a, b) => a.order - b.order || (a.rewriter < b.rewriter ? -1 : 1))
    .flatMap(({ rewriter, edits }) => edits.map((edit) => ({ rewriter, edit })))
    .toSorted((a, b) => behind(a.edit) - behind(b.edit));
}

function behind(edit: DurableEdit): number {
  return edit.kind === 'append' ? (edit.behind ?? 0) : 0;
}

/** The blocks of a message by the hash of the client's text in them; hashed once, and not before somebody asks. */
class ClientTexts {
  readonly #tree: BodyTree;
  readonly #message: Message;
  readonly #sha256: Sha256;
  #blocks: Map<string, Block[]> | undefined;

  constructor(tree: BodyTree, message: Message, sha256: Sha256) {
    this.#tree = tree;
    this.#message = message;
    this.#sha256 = sha256;
  }

  /** The first block with this text that nobody has written yet. */
  find(hash: string): Block | undefined {
    this.#blocks ??= this.#hashed();
    return this.#blocks.get(hash)?.find(({ writtenBy }) => !writtenBy);
  }

  #hashed(): Map<string, Block[]> {
    const blocks = new Map<string, Block[]>();
    for (const block of this.#message.content ? keptBlocks(this.#message.content) : []) {
      const text = block.writtenBy ? undefined : effectiveText(this.#tree, block);
      if (text === undefined) continue;
      const hash = this.#sha256(text);
      const same = blocks.get(hash);
      if (same) same.push(block);
      else blocks.set(hash, [block]);
    }
    return blocks;
  }
}

function replayEdit(message: Message, edit: DurableEdit, rewriter: string, texts: ClientTexts): boolean {
  if (!message.content) return false;
  if (edit.kind === 'append') {
    const block = newBlock(message.content.end, message.content.end, 'text');
    block.bytes = Buffer.from(edit.json);
    block.writtenBy = rewriter;
    message.content.blocks.push(block);
    return true;
  }
  const block = texts.find(edit.of);
  if (!block) return false;
  block.newText = Buffer.from(edit.json);
  block.writtenBy = rewriter;
  return true;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
