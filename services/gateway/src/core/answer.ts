import type { DataOf } from '@loom/shared/event.ts';
import { Usage } from '@loom/shared/event-data/usage.ts';
import { z } from 'zod';
import { AnswerBlocks } from './answer-blocks.ts';

const MAX_TEXT_CHARACTERS = 16_384;
const MAX_TOOL_USES = 200;
/** Of an id, a name or a stop reason; the API's have some 30 characters. */
const MAX_WORD_CHARACTERS = 200;
const MAX_USAGE_MEMBERS = 64;
const MAX_USAGE_CHARACTERS = 4_096;

/** How nearly all of a stream's events begin; what follows is one string and the ends of both objects. */
const DELTA =
  /^\{"type":"content_block_delta","index":(0|[1-9]\d{0,3}),"delta":\{"type":"(?:(text)_delta","text|thinking_delta","thinking|input_json_delta","partial_json)":(?=")/;

const Block = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  id: z.string().optional(),
  name: z.string().optional(),
});
const Message = z.looseObject({
  id: z.string().nullish(),
  model: z.string().nullish(),
  stop_reason: z.string().nullish(),
  usage: z.record(z.string(), z.unknown()).nullish(),
  content: z.array(z.unknown()).nullish(),
});
const ApiError = z.looseObject({ error: z.looseObject({ type: z.string() }) });
const SseEvent = z.looseObject({
  type: z.string(),
  message: z.unknown().optional(),
  index: z.unknown().optional(),
  content_block: z.unknown().optional(),
  delta: z
    .looseObject({ type: z.string().optional(), text: z.string().optional(), stop_reason: z.string().nullish() })
    .optional(),
  usage: z.record(z.string(), z.unknown()).nullish(),
  error: z.unknown().optional(),
});

type AnswerParts = Pick<
  DataOf<'response.completed'>,
  'responseId' | 'responseModel' | 'stopReason' | 'usage' | 'text' | 'textTruncated' | 'toolUses'
>;

/**
 * Folds an answer of the Messages API, streamed or whole, into what its event says. Unknown events and blocks are passed
 * over; memory is bounded whatever the answer's size.
 */
export class Answer {
  readonly parts: AnswerParts = {
    responseId: null,
    responseModel: null,
    stopReason: null,
    usage: null,
    text: '',
    textTruncated: false,
    toolUses: [],
  };
  /** Whether the answer came to its end: `message_stop`, or a whole message. */
  isComplete = false;
  /** `error.type` of an error event or error body; never its message, which may quote a key. */
  errorType: string | null = null;
  /** The blocks themselves, where they are wanted. */
  readonly blocks: AnswerBlocks | undefined;
  /** Called once, at the first piece of a streamed answer's content. */
  onContent: (() => void) | undefined;
  /** The next text begins a block that is not the first. */
  #isNewBlock = false;

  constructor(keepsBlocks = false) {
    this.blocks = keepsBlocks ? new AnswerBlocks() : undefined;
  }

  /** Takes the data of one server-sent event. */
  sseEvent(data: string): void {
    const piece = findDelta(data);
    if (piece) {
      this.onContent?.();
      this.onContent = undefined;
      this.blocks?.append(piece.index, piece.text);
      if (piece.isSaid) this.#append(piece.text);
      return;
    }
    const parsed = SseEvent.safeParse(parseJson(data));
    if (!parsed.success) return;
    const { type, message, index, content_block: block, delta, usage } = parsed.data;
    if (type === 'content_block_delta') {
      this.onContent?.();
      this.onContent = undefined;
      this.blocks?.delta(index, delta);
    } else if (type === 'content_block_start') this.blocks?.start(index, block);
    if (type === 'message_start') this.#message(message);
    else if (type === 'content_block_start') this.#block(block);
    else if (type === 'content_block_delta' && delta?.type === 'text_delta') this.#append(delta.text ?? '');
    else if (type === 'message_delta') {
      this.parts.stopReason = word(delta?.stop_reason) ?? this.parts.stopReason;
      this.#usage(usage);
    } else if (type === 'message_stop') this.isComplete = true;
    else if (type === 'error') this.#error(parsed.data);
  }

  /** Takes a whole body. */
  body(json: string): void {
    const value = parseJson(json);
    this.isComplete = value !== undefined;
    this.#error(value);
    if (this.errorType === null) this.#message(value);
  }

  #message(value: unknown): void {
    const parsed = Message.safeParse(value);
    if (!parsed.success) return;
    this.parts.responseId = word(parsed.data.id);
    this.parts.responseModel = word(parsed.data.model);
    this.parts.stopReason = word(parsed.data.stop_reason);
    this.#usage(parsed.data.usage);
    for (const [index, block] of (parsed.data.content ?? []).entries()) {
      this.#block(block);
      this.blocks?.start(index, block);
    }
  }

  #block(value: unknown): void {
    const parsed = Block.safeParse(value);
    if (!parsed.success) return;
    const { type, text, id, name } = parsed.data;
    if (type === 'text') {
      this.#isNewBlock = this.parts.text !== '';
      this.#append(text ?? '');
    } else if (type === 'tool_use' && this.parts.toolUses.length < MAX_TOOL_USES) {
      this.parts.toolUses.push({ id: word(id) ?? '', name: word(name) ?? '' });
    }
  }

  #append(text: string): void {
    if (text === '') return;
    const joined = this.#isNewBlock ? `\n\n${text}` : text;
    this.#isNewBlock = false;
    const room = MAX_TEXT_CHARACTERS - this.parts.text.length;
    if (joined.length <= room) this.parts.text += joined;
    else if (!this.parts.textTruncated) {
      this.parts.textTruncated = true;
      // The cut may go through a character of two units.
      this.parts.text += joined.slice(0, room).toWellFormed();
    }
  }

  /**
   * `message_delta` repeats some counts and corrects them; a null never undoes a number. A count that is no number, and
   * what would make it large, is left out: nobody could read the event.
   */
  #usage(usage: Record<string, unknown> | null | undefined): void {
    const members = Object.entries(usage ?? {}).filter(([, value]) => value !== null && value !== undefined);
    for (const [name, value] of members.slice(0, MAX_USAGE_MEMBERS)) {
      const next = Usage.safeParse({ ...this.parts.usage, [name]: value });
      if (next.success && JSON.stringify(next.data).length <= MAX_USAGE_CHARACTERS) this.parts.usage = next.data;
    }
  }

  #error(value: unknown): void {
    // Of most answers there is none, and to be told so by a schema costs more than all the rest.
    if (typeof value !== 'object' || value === null || !('error' in value)) return;
    const parsed = ApiError.safeParse(value);
    if (!parsed.success) return;
    const { type } = parsed.data.error;
    this.errorType = /^[a-z_]{1,64}$/.test(type) ? type : 'unknown';
  }
}

interface Delta {
  index: number;
  text: string;
  /** It is text, and neither thought nor a tool's input. */
  isSaid: boolean;
}

/**
 * The delta in data that is written as the API writes it, at a fraction of what reading it as any JSON costs; undefined
 * for all other data.
 *
 * @example
 * findDelta('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}   }');
 * // { index: 0, text: 'Hi', isSaid: true }
 */
function findDelta(data: string): Delta | undefined {
  const head = DELTA.exec(data);
  if (!head) return undefined;
  let end = data.length - 1;
  if (data[end] !== '}') return undefined;
  // The API pads its events, so that their lengths tell nothing.
  do end--;
  while (data[end] === ' ');
  if (data[end] !== '}') return undefined;
  // Where more members follow, this is no JSON.
  const text = parseJson(data.slice(head[0].length, end));
  return typeof text === 'string' ? { index: Number(head[1]), text, isSaid: head[2] !== undefined } : undefined;
}

function word(value: string | null | undefined): string | null {
  return value?.slice(0, MAX_WORD_CHARACTERS).toWellFormed() ?? null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the API's JSON: the client gets it as it is, there is just nothing to tell about it.
    return undefined;
  }
}
