import type { ContentBlock } from '@loom/shared/event.ts';
import { z } from 'zod';
import type { Sha256 } from './anchor.ts';
import type { Block, BodyTree, Span } from './body-tree.ts';
import { closeJson } from './close-json.ts';
import { effectiveText } from './human-text.ts';
import { decodeToken } from './json-text.ts';
import { omission, type Redactor, WINDOW_CHARACTERS } from './redactor.ts';
import { shortenJson } from './shorten-json.ts';

/** As much of a string as holds a whole window, however it is escaped: six bytes for a character at most. */
const MAX_STRING_BYTES = 6 * WINDOW_CHARACTERS;
const MAX_BLOCK_BYTES = 1_048_576;

const Parsed = z.looseObject({ type: z.string() });
type Parsed = z.infer<typeof Parsed>;
const Source = z.looseObject({ media_type: z.string().optional(), data: z.string() });

export interface BlockContext {
  redactor: Redactor;
  sha256: Sha256;
}

/** Shows a block of a request as it went upstream. Costs no more than a look at its beginning, however large it is. */
export function captureBlock(tree: BodyTree, block: Block, context: BlockContext): ContentBlock {
  const isEdited = block.bytes || block.newText || block.cuts.length > 0;
  if (isEdited && (block.bytes || block.type === 'text'))
    return { type: 'text', text: context.redactor.text(effectiveText(tree, block) ?? '') };
  // String content is held as a block, but is written as a string.
  const isBare = block.text?.start === block.start;
  const bytes = Buffer.from(tree.bytes.buffer, tree.bytes.byteOffset + block.start, block.end - block.start);
  const copy = shortenJson(bytes, MAX_STRING_BYTES, MAX_BLOCK_BYTES);
  const value: unknown = copy ? JSON.parse(copy.json) : beginningOf(bytes);
  const parsed = Parsed.safeParse(
    isBare ? { type: 'text', text: value } : { type: block.type, ...named(tree, block), ...Object(value) },
  );
  if (!parsed.success) return omitBlock({ type: block.type || 'unknown' }, bytes.length, context);
  const wholeOf = (text: string) => {
    const token: Span | undefined = copy?.shortened.get(text);
    return token ? bytes.toString('latin1', token.start + 1, token.end - 1) : text;
  };
  return clean(parsed.data, context, wholeOf);
}

/** Of a block that is too large even with its strings cut. */
function beginningOf(bytes: Buffer): unknown {
  return closeJson(bytes.toString('utf8', 0, MAX_STRING_BYTES), omission(bytes.length - MAX_STRING_BYTES));
}

/** What a block is about may stand behind what was cut. */
function named(tree: BodyTree, { toolUseId }: Block): { tool_use_id?: string } {
  const id = toolUseId && decodeToken(tree.bytes, toolUseId);
  return id === undefined ? {} : { tool_use_id: id };
}

/** Shows a block of an answer. */
export function captureAnswerBlock(block: ContentBlock, context: BlockContext): ContentBlock {
  return clean(block, context, (text) => text);
}

/** A block that takes too much room is told of by its names alone. */
export function omitBlock(block: ContentBlock, bytes: number, { redactor }: BlockContext): ContentBlock {
  redactor.isTruncated = true;
  const { type, id, name, tool_use_id: toolUseId } = block;
  const named = Object.entries({ id, name, tool_use_id: toolUseId }).filter(([, value]) => typeof value === 'string');
  return { type, ...Object.fromEntries(named), omitted_bytes: bytes };
}

function clean(block: Parsed, context: BlockContext, wholeOf: (text: string) => string): ContentBlock {
  const { type, cache_control: _, ...members } = block;
  const { redactor } = context;
  if (type === 'image' || type === 'document') return cleanMedia(block, context, wholeOf);
  // Opaque to everybody but the upstream.
  if (type === 'redacted_thinking') return { type };
  if (type === 'thinking') return { type, thinking: redactor.text(String(members['thinking'] ?? '')) };
  if (type !== 'tool_result' || !Array.isArray(members['content']))
    return { type, ...(redactor.value(members) as object) };
  const { content, ...rest } = members;
  const inner = content.map((item: unknown) => {
    const parsed = Parsed.safeParse(item);
    return parsed.success ? clean(parsed.data, context, wholeOf) : redactor.value(item);
  });
  return { type, ...(redactor.value(rest) as object), content: inner };
}

/** Images and documents are named by what is in them; one that lies elsewhere keeps its address. */
function cleanMedia(
  { type, source, title }: Parsed,
  { redactor, sha256 }: BlockContext,
  wholeOf: (text: string) => string,
): ContentBlock {
  const named = typeof title === 'string' ? { title: redactor.text(title) } : {};
  const parsed = Source.safeParse(source);
  if (!parsed.success) return { type, ...named, source: redactor.value(source) };
  const { data, media_type: mediaType, type: encoding } = parsed.data;
  const bytes = Buffer.from(wholeOf(data), encoding === 'base64' ? 'base64' : 'utf8');
  return { type, ...named, ...(mediaType && { media_type: mediaType }), sha256: sha256(bytes), bytes: bytes.length };
}
