import type { RequestClass } from '@loom/shared/event.ts';
import type { Metadata } from '@loom/shared/metadata.ts';
import { z } from 'zod';
import { type BodyTree, keptBlocks, keptMessages, type Message } from './body-tree.ts';
import { effectiveText, identifyingText, isContinued } from './human-text.ts';
import { type Headers, readMember } from './identity.ts';

/** `x-claude-code-request-class`, which clients send with `CLAUDE_CODE_GATEWAY_HINT_HEADERS=1`. */
const HINTS = new Map<string, RequestClass>([
  ['main', 'main'],
  ['subagent', 'subagent'],
  ['workflow', 'subagent'],
  ['compaction', 'compaction'],
  ['auxiliary', 'auxiliary'],
  ['side_reply', 'auxiliary'],
]);

const COMPACTION_SENTENCE = 'Your task is to create a detailed summary of';
const COMPACTION_OPENINGS = [COMPACTION_SENTENCE, 'CRITICAL: Respond with TEXT ONLY.'];
const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing';
const SUBAGENT_OPENING = 'You are an agent for Claude Code';
const AUXILIARY_OPENINGS = [
  'Analyze if this message indicates a new conversation topic',
  'Summarize this coding conversation in under 50 characters',
  'Extract any file paths that this command reads or modifies',
  'Generate a concise, sentence-case title',
  'You are naming a coding session',
  'You are a security monitor for autonomous AI coding agents',
];
const OutputConfig = z.looseObject({ format: z.unknown().optional() });

export interface ClassSigns {
  headers: Headers;
  /** The newest block, and the message that it stood in. */
  metadata: Metadata | undefined;
  metadataMessage: Message | undefined;
  /** The profile is known from an earlier request only: neither a block nor a header of this one names it. */
  profileIsRemembered: boolean;
}

/**
 * What kind of call this is: the client's own hint where it sends one, else the body's signs (Claude Code 1.0 to 2.1,
 * measured). In doubt it is not `main`: a turn that is missed costs a trace, an edit in a stranger's call costs more.
 */
export function classify(tree: BodyTree, signs: ClassSigns): RequestClass {
  const hint = signs.headers['x-claude-code-request-class'];
  if (typeof hint === 'string') return HINTS.get(hint) ?? 'auxiliary';
  if (signs.headers['x-claude-code-agent-id'] !== undefined) return 'subagent';

  const system = systemTexts(tree);
  // Before the compaction: a subagent that summarises itself does not speak for the session.
  if (
    system.some(
      (text) => text.startsWith(SUBAGENT_OPENING) || /^x-anthropic-billing-header:.*cc_is_subagent=true/.test(text),
    )
  ) {
    return 'subagent';
  }
  if (system.some((text) => text.startsWith(SUMMARIZER)) || isCompactionInstruction(tree, signs)) return 'compaction';
  if (isWarmup(tree)) return 'probe';
  if (isBackgroundCall(tree)) return 'auxiliary';
  if (readMember(tree, 'output_config', OutputConfig)?.format !== undefined) return 'auxiliary';

  const named = signs.headers['x-loom-profile'] !== undefined || signs.metadata !== undefined;
  if (!tree.tools && !(named && hasText(tree))) return 'auxiliary';
  // Clients before 2.1 do not mark subagents: those never carry a block, and a main call of theirs always does, unless
  // it follows a compaction.
  const isOldClient = signs.headers['x-claude-code-session-id'] === undefined;
  if (isOldClient && signs.profileIsRemembered && !isContinued(tree)) return 'subagent';
  return 'main';
}

/** Whether the system prompt is one of the client's own small jobs: titles, topics, paths, classifiers. */
export function isBackgroundCall(tree: BodyTree): boolean {
  return systemTexts(tree).some((text) => AUXILIARY_OPENINGS.some((opening) => text.startsWith(opening)));
}

function systemTexts(tree: BodyTree): string[] {
  if (!tree.system) return [];
  return keptBlocks(tree.system).map((block) => effectiveText(tree, block)?.trimStart() ?? '');
}

/** The instruction opens the last text of the last message; a prompt that merely quotes it is what the hook says was typed. */
function isCompactionInstruction(tree: BodyTree, { metadata, metadataMessage }: ClassSigns): boolean {
  const message = newestMessage(tree);
  const block =
    message?.role === 'user' && message.content
      ? keptBlocks(message.content).findLast((b) => b.type === 'text')
      : undefined;
  const text = block && effectiveText(tree, block)?.trim();
  if (!text || !COMPACTION_OPENINGS.some((opening) => text.startsWith(opening)) || !text.includes(COMPACTION_SENTENCE))
    return false;
  const isOfThisPrompt =
    metadataMessage !== undefined &&
    tree.messages.indexOf(metadataMessage) >= tree.messages.indexOf(message as Message);
  const typed = isOfThisPrompt ? metadata?.prompt?.trim() : undefined;
  return !typed?.includes(COMPACTION_SENTENCE) || !text.startsWith(typed.slice(0, 200));
}

/** The newest message that is not `role: system`. */
export function newestMessage(tree: BodyTree): Message | undefined {
  return keptMessages(tree).findLast((message) => message.role !== 'system');
}

function isWarmup(tree: BodyTree): boolean {
  const messages = keptMessages(tree);
  return !tree.tools && messages.length === 1 && identifyingText(tree, messages[0] as Message) === 'Warmup';
}

/** A topic call of client 1.0 holds the hook's output and nothing else: that is no turn. */
function hasText(tree: BodyTree): boolean {
  return keptMessages(tree).some((message) => identifyingText(tree, message) !== '');
}
