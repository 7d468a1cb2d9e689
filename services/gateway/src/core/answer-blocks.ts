import type { ContentBlock } from '@loom/shared/event.ts';
import { z } from 'zod';
import { closeJson } from './close-json.ts';
import { omission } from './redactor.ts';

const MAX_BLOCK_CHARACTERS = 61_440;
const MAX_BLOCKS = 64;

const Started = z.looseObject({ type: z.string() });
const Delta = z.looseObject({
  text: z.string().optional(),
  thinking: z.string().optional(),
  partial_json: z.string().optional(),
});

interface Growing {
  block: ContentBlock;
  /** What the deltas brought: text, thinking, or the JSON of a tool's input. */
  kept: string;
  omitted: number;
}

/** Puts an answer's blocks together as they come, at most 60 KB of each and 64 of them, the first ones. */
export class AnswerBlocks {
  readonly #blocks = new Map<unknown, Growing>();
  /** Blocks that there was no room for. */
  dropped = 0;

  /** Takes a block that begins, or one that is whole; `index` names it in its deltas. */
  start(index: unknown, value: unknown): void {
    const parsed = Started.safeParse(value);
    if (!parsed.success) return;
    if (this.#blocks.size >= MAX_BLOCKS) {
      this.dropped++;
      return;
    }
    const growing = { block: { type: parsed.data.type } as ContentBlock, kept: '', omitted: 0 };
    const { text, thinking, ...rest } = parsed.data;
    // What is no text is small where it is streamed; in a whole message it may be anything.
    const json = JSON.stringify(rest);
    growing.block = json.length <= MAX_BLOCK_CHARACTERS ? rest : { type: rest.type, omitted_bytes: json.length };
    this.#blocks.set(index, growing);
    const said = text ?? thinking;
    if (typeof said === 'string') append(growing, said);
  }

  delta(index: unknown, value: unknown): void {
    const growing = this.#blocks.get(index);
    const parsed = growing && Delta.safeParse(value);
    if (!parsed?.success) return;
    append(growing as Growing, parsed.data.text ?? parsed.data.thinking ?? parsed.data.partial_json ?? '');
  }

  /** Takes a piece of a block, read already. */
  append(index: number, piece: string): void {
    const growing = this.#blocks.get(index);
    if (growing) append(growing, piece);
  }

  /** The blocks in order, tool inputs as objects. */
  get list(): ContentBlock[] {
    return [...this.#blocks.values()].map(({ block, kept, omitted }) => {
      const ending = omitted > 0 ? omission(omitted) : '';
      const { type } = block;
      if (type === 'text') return { ...block, text: kept + ending };
      if (type === 'thinking') return { type, thinking: kept + ending };
      if (kept === '') return block;
      return { ...block, input: closeJson(kept, ending) ?? kept + ending };
    });
  }
}

function append(growing: Growing, piece: string): void {
  const room = MAX_BLOCK_CHARACTERS - growing.kept.length;
  growing.kept += piece.slice(0, room);
  growing.omitted += Math.max(0, piece.length - room);
}
