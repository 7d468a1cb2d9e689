import { byteLength, render, shorten } from './render.ts';

/** What a token is taken to be, bytes of UTF-8; English prose has about four, so there the count errs on the safe side. */
const BYTES_PER_TOKEN = 3.5;

/** The longest item; a memorable is a short line, so more than this is a fault of the model that wrote it. */
const MAX_ITEM_TOKENS = 300;

/** How a block is laid out. */
export interface Layout {
  /** The most that a whole block may cost, tokens of 3.5 bytes each. */
  budgetTokens: number;
  /** The block's tag, without brackets. */
  tag: string;
}

/** The next block of a session. */
export interface Choice {
  /** The items that are in it, unshortened: that is how they are remembered. */
  items: string[];
  /** Items that are new to the session, but have to wait for the next message's budget. */
  waiting: number;
  /** The rendered block; absent when nothing is new. */
  text?: string;
}

/**
 * Chooses what the session has not had yet, in the list's order, until the budget is full. An item that is too long is
 * shortened, so the first new one always finds room and nothing waits for ever.
 *
 * @param items what `tidy` returned
 * @param injected the items that are or will be in an earlier message
 * @example
 * choose(['tea at four', 'the blue door'], new Set(['tea at four']), { budgetTokens: 1000, tag: 'subvox' });
 * // { items: ['the blue door'], waiting: 0, text: '<subvox>\nIntro surfaced…\n- the blue door\n</subvox>' }
 */
export function choose(items: readonly string[], injected: ReadonlySet<string>, { budgetTokens, tag }: Layout): Choice {
  const fresh = items.filter((item) => !injected.has(item));
  let room = Math.floor(budgetTokens * BYTES_PER_TOKEN) - byteLength(render([], tag));
  const maxItemBytes = Math.min(Math.floor(MAX_ITEM_TOKENS * BYTES_PER_TOKEN), room - byteLength('- \n'));

  const lines: string[] = [];
  for (const item of fresh) {
    const line = shorten(item, maxItemBytes);
    room -= byteLength(`- ${line}\n`);
    if (room < 0) break;
    lines.push(line);
  }

  const chosen = { items: fresh.slice(0, lines.length), waiting: fresh.length - lines.length };
  return lines.length > 0 ? { ...chosen, text: render(lines, tag) } : chosen;
}
