import type { RequestView } from '@loom/shared/event.ts';
import type { Block, BodyTree, Message } from './body-tree.ts';
import { type BlockList, keptBlocks, keptMessages } from './body-tree.ts';
import { effectiveText } from './human-text.ts';
import type { Question } from './match-wants.ts';
import { newestMessage } from './request-class.ts';

/** Longer texts are shown by their type alone: an event stays small, and no rewriter has business with them. Characters. */
const MAX_TEXT_LENGTH = 262_144;
/** Where the only question is what to put behind a prompt, a long prompt is none of the rewriters' business either. */
const MAX_PROMPT_LENGTH = 16_384;

/** The parts of a request that the awaited rewriters asked for: their union, each part once. */
export function viewFor(tree: BodyTree, questions: Question[], anchors: Map<Message, string>): RequestView {
  const isPrompt = questions.every(({ labels }) => labels.every((label) => label === 'human'));
  const maxLength = isPrompt ? MAX_PROMPT_LENGTH : MAX_TEXT_LENGTH;
  const parts = new Set(questions.flatMap(({ rewriter }) => rewriter.view));
  const view: RequestView = {};
  if (parts.has('system')) view.system = tree.system ? blocksOf(tree, tree.system, maxLength) : [];
  const last = parts.has('last') ? newestMessage(tree) : undefined;
  if (last?.content) {
    view.last = {
      pointer: `/messages/${keptMessages(tree).indexOf(last)}`,
      role: last.role,
      ...anchorOf(last, anchors),
      content: blocksOf(tree, last.content, maxLength),
    };
  }
  if (parts.has('matched')) view.matched = matchedTexts(tree, questions, anchors);
  return view;
}

function matchedTexts(tree: BodyTree, questions: Question[], anchors: Map<Message, string>): RequestView['matched'] {
  const places = new Map(keptMessages(tree).map((message, index) => [message, index]));
  const numbers = new Map<BlockList, Map<Block, number>>();
  /** The number of a block in its list, as pointers count: each list is counted once. */
  const numberOf = (list: BlockList, block: Block) => {
    let inList = numbers.get(list);
    if (!inList) {
      inList = new Map(keptBlocks(list).map((one, index) => [one, index]));
      numbers.set(list, inList);
    }
    return inList.get(block);
  };
  const matches = questions.flatMap((question) => (question.rewriter.view.includes('matched') ? question.matches : []));
  return matches.flatMap(({ label, block, message }) => {
    const list = message ? message.content : tree.system;
    const text = effectiveText(tree, block);
    if (!list || text === undefined || text.length > MAX_TEXT_LENGTH) return [];
    const parent = message ? `/messages/${places.get(message)}/content` : '/system';
    const pointer = `${parent}/${numberOf(list, block)}/text`;
    return [{ label, pointer, role: message?.role ?? 'system', ...(message && anchorOf(message, anchors)), text }];
  });
}

function blocksOf(tree: BodyTree, list: BlockList, maxLength: number): { type: string; text?: string }[] {
  return keptBlocks(list).map((block) => {
    const text = effectiveText(tree, block);
    return text === undefined || text.length > maxLength ? { type: block.type } : { type: block.type, text };
  });
}

function anchorOf(message: Message, anchors: Map<Message, string>): { anchor?: string } {
  const anchor = anchors.get(message);
  return anchor ? { anchor } : {};
}
