import type { RequestClass } from '@loom/shared/event.ts';
import type { RewriterDeclaration, Want } from '@loom/shared/rewriter.ts';
import { type Block, type BodyTree, keptBlocks, type Message } from './body-tree.ts';
import { isEditable } from './cache-control.ts';
import { effectiveText, isTyped } from './human-text.ts';
import { newestMessage } from './request-class.ts';

/** A text that holds one of a rewriter's literals. */
export interface Match {
  label: string;
  block: Block;
  /** Undefined for a block of `system`. */
  message: Message | undefined;
}

/** A rewriter that is to be asked about a request, and why. */
export interface Question {
  rewriter: RewriterDeclaration;
  labels: string[];
  matches: Match[];
  /** The messages that it is asked about; it is asked about each of them once. */
  messages: Message[];
}

export interface RequestTraits {
  class: RequestClass;
  profile: string;
  /** Whether this rewriter has answered about this message before. */
  isAnswered: (message: Message, rewriter: string) => boolean;
}

/**
 * Which rewriters want a request: matched on the bytes, against texts that are neither cut nor already rewritten. Only
 * main and compaction requests are anybody's to edit.
 */
export function matchWants(tree: BodyTree, traits: RequestTraits, rewriters: RewriterDeclaration[]): Question[] {
  if (traits.class !== 'main' && traits.class !== 'compaction') return [];
  return rewriters
    .filter(({ profiles }) => profiles.includes('*') || profiles.includes(traits.profile))
    .map((rewriter) => ask(tree, traits, rewriter))
    .filter(({ labels }) => labels.length > 0);
}

function ask(tree: BodyTree, traits: RequestTraits, rewriter: RewriterDeclaration): Question {
  const question: Question = { rewriter, labels: [], matches: [], messages: [] };
  const isOpen = (message: Message) => !traits.isAnswered(message, rewriter.name);
  for (const want of rewriter.wants) {
    if (want.on === 'literal') {
      const matches = findLiteral(tree, want).filter(({ message }) => !message || isOpen(message));
      question.matches.push(...matches);
      if (matches.length > 0) question.labels.push(want.label);
      question.messages.push(...matches.flatMap(({ message }) => message ?? []));
      continue;
    }
    const newest = newestMessage(tree);
    const wanted =
      want.on === 'every' ||
      (want.on === 'class' && want.class === traits.class) ||
      (want.on === 'human' && traits.class === 'main' && newest && isTyped(tree, newest) && isOpen(newest));
    if (!wanted) continue;
    question.labels.push(want.on === 'class' ? `class.${want.class}` : want.on);
    if (want.on === 'human' && newest) question.messages.push(newest);
  }
  question.labels = [...new Set(question.labels)];
  question.messages = [...new Set(question.messages)];
  return question;
}

/** The texts that hold the literal, where it is looked for: neither cut ones nor those that a rewriter wrote. */
export function findLiteral(tree: BodyTree, { label, literal, where }: Extract<Want, { on: 'literal' }>): Match[] {
  const needle = plainRun(literal);
  const holds = (block: Block) => holdsLiteral(tree, block, literal, needle);
  if (where === 'system') {
    const blocks = tree.system ? keptBlocks(tree.system) : [];
    return blocks.filter(holds).map((block) => ({ label, block, message: undefined }));
  }
  const newest = newestMessage(tree);
  const messages = where === 'last' ? (newest ? [newest] : []) : tree.messages;
  return messages.filter(isEditable).flatMap((message) => {
    const blocks = message.content ? keptBlocks(message.content) : [];
    return blocks.filter(holds).map((block) => ({ label, block, message }));
  });
}

/** Only a text whose bytes hold the needle is decoded: escapes are then nobody's concern. */
function holdsLiteral(tree: BodyTree, block: Block, literal: string, needle: Buffer): boolean {
  if (!block.text || block.newText) return false;
  const token = tree.bytes.subarray(block.text.start, block.text.end) as Buffer;
  return token.includes(needle) && (effectiveText(tree, block)?.includes(literal) ?? false);
}

/** The literal's longest run of characters that every JSON writer leaves unescaped. */
function plainRun(literal: string): Buffer {
  const runs = literal.match(/[\w .,:;!?()-]+/g) ?? [];
  return Buffer.from(runs.reduce((longest, run) => (run.length > longest.length ? run : longest), ''));
}
