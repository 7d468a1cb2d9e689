import type { CapturedMessage, CaptureMode, ContentBlock } from '@loom/shared/event.ts';
import type { ExchangeCaptured } from '@loom/shared/event-data/capture.ts';
import { z } from 'zod';
import type { Sha256 } from './anchor.ts';
import type { AnswerBlocks } from './answer-blocks.ts';
import { type BodyTree, keptBlocks, keptMessages, type Message } from './body-tree.ts';
import { type BlockContext, captureAnswerBlock, captureBlock, omitBlock } from './captured-block.ts';
import { readMember } from './identity.ts';
import { Redactor } from './redactor.ts';
import { PARAMETERS } from './scan-body.ts';
import { newMessages } from './tool-results.ts';

const MAX_LIST_BYTES = 61_440;
const MAX_TOOLS = 500;
const EMAIL = /[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}/g;
const Tools = z.array(z.looseObject({ name: z.string().optional() }));
const Parameter = z.unknown();
const UserId = z.looseObject({ user_id: z.string() });

export interface CaptureOptions {
  /** none and metadata capture nothing. */
  mode: CaptureMode;
  /** What is taken out of texts, each with the flag `g`. */
  redact: readonly RegExp[];
  sha256: Sha256;
}

/**
 * Shows what an exchange said, redacted and cut to its limits: 16,384 characters a text, 60 KB a list, of which the
 * oldest blocks are left out. Only what is shown is decoded, so its cost does not grow with the conversation.
 *
 * @param tree as it was forwarded; undefined where nobody could follow the body
 * @param answer undefined where there was none
 * @returns by way of a generator that yields between blocks, because others wait for the same thread
 */
export function* captureExchange(
  tree: BodyTree | undefined,
  answer: AnswerBlocks | undefined,
  { mode, redact, sha256 }: CaptureOptions,
): Generator<void, z.infer<typeof ExchangeCaptured>> {
  const redactor = new Redactor(redact, tree ? emailsOf(tree) : []);
  const context = { redactor, sha256 };
  const isFull = mode === 'full';
  const messages = tree ? (isFull ? keptMessages(tree) : newMessages(tree)) : [];
  const input = yield* fitNewest(
    messages.flatMap((message) => blocksOf(tree, message, context)),
    context,
  );
  const said = (answer?.list ?? []).map((block) => ({ make: () => captureAnswerBlock(block, context) }));
  const output = yield* fitNewest(said, context);
  const prompt = tree?.system && isFull ? keptBlocks(tree.system) : [];
  const shown = prompt.map((block) => ({ make: () => captureBlock(tree as BodyTree, block, context) }));
  const system = yield* fitNewest(shown, context);
  const dropped = {
    inputDropped: input.dropped,
    outputDropped: output.dropped + (answer?.dropped ?? 0),
    systemDropped: system.dropped,
  };
  const isDropped = Object.entries(dropped).filter(([, count]) => count > 0);
  return {
    capture: isFull ? 'full' : 'delta',
    input: groupByMessage(input.kept),
    inputOmitted: tree ? keptMessages(tree).length - messages.length : 0,
    ...(tree?.system && isFull && { system: system.kept.map(({ block }) => block) }),
    ...(tree && isFull && { tools: toolsOf(tree) }),
    parameters: tree ? parametersOf(tree, redactor) : {},
    output: output.kept.map(({ block }) => block),
    truncated: redactor.isTruncated || isDropped.length > 0,
    ...Object.fromEntries(isDropped),
  };
}

interface Shown {
  message?: Message;
  make: () => ContentBlock;
}

function blocksOf(tree: BodyTree | undefined, message: Message, context: BlockContext): Shown[] {
  if (!tree || !message.content) return [];
  return keptBlocks(message.content).map((block) => ({ message, make: () => captureBlock(tree, block, context) }));
}

/** Makes the newest blocks, as many as there is room for; the others are not even looked at. */
function* fitNewest(blocks: Shown[], context: BlockContext): Generator<void, { kept: Kept[]; dropped: number }> {
  const kept: Kept[] = [];
  let room = MAX_LIST_BYTES;
  for (let at = blocks.length - 1; at >= 0; at--) {
    const { message, make } = blocks[at] as Shown;
    let block = make();
    let size = Buffer.byteLength(JSON.stringify(block));
    if (size > MAX_LIST_BYTES) {
      block = omitBlock(block, size, context);
      size = JSON.stringify(block).length;
    }
    room -= size;
    if (room < 0) return { kept, dropped: at + 1 };
    kept.unshift({ block, message });
    yield;
  }
  return { kept, dropped: 0 };
}

interface Kept {
  block: ContentBlock;
  message: Message | undefined;
}

function groupByMessage(kept: Kept[]): CapturedMessage[] {
  const messages = new Map<Message | undefined, CapturedMessage>();
  for (const { block, message } of kept) {
    const captured = messages.get(message) ?? { role: message?.role ?? '', content: [] };
    captured.content.push(block);
    messages.set(message, captured);
  }
  return [...messages.values()];
}

function parametersOf(tree: BodyTree, redactor: Redactor): Record<string, unknown> {
  const read = PARAMETERS.map((name) => [name, redactor.value(readMember(tree, name, Parameter))] as const);
  return Object.fromEntries(read.filter(([, value]) => value !== undefined));
}

function toolsOf(tree: BodyTree): string[] {
  const tools = readMember(tree, 'tools', Tools) ?? [];
  return tools.slice(0, MAX_TOOLS).map(({ name }) => String(name).slice(0, 200));
}

/** An account may be named by its address. */
function emailsOf(tree: BodyTree): string[] {
  return readMember(tree, 'metadata', UserId)?.user_id.slice(0, 2_000).match(EMAIL) ?? [];
}
