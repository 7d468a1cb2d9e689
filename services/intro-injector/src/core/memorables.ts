import { CANARY } from '@loom/shared/metadata.ts';

/** Characters of an item that are looked at: far more than one may take in a block, so that a huge item costs no more. */
const MAX_LENGTH = 4_096;

const ESC = String.fromCharCode(0x1b);
const BEL = String.fromCharCode(0x07);
const CSI = String.fromCharCode(0x9b);

/** What colours, moves and links text in a terminal (ECMA-48): control sequences, and system commands that end. */
const TERMINAL = new RegExp(
  `(?:${ESC}\\[|${CSI})[0-?]*[ -/]*[@-~]|${ESC}\\][^${ESC}${BEL}]*(?:${BEL}|${ESC}\\\\)`,
  'g',
);

/** Without its last part no text is the canary; older ones (`EAVESDROP_METADATA_BLOCK_…`) end in the same. */
const CANARY_END = CANARY.slice(CANARY.lastIndexOf('_') + 1);

/** Intro's list, ready to be chosen from. */
export interface Memorables {
  /** One line each, inert, no two alike, in the list's order. */
  items: string[];
  /** Items that held something which could have acted: a tag, a line break, a control or invisible character, a canary. */
  neutralised: number;
}

/**
 * Tidies Intro's list by the neighbour's contract and makes every item inert.
 *
 * The contract: items are trimmed, leading and trailing backticks fall away, what is empty then is dropped (a small
 * model wraps its answers in Markdown fences). Inert: an item is one line and can neither open nor close a tag, hide
 * characters, turn the reading direction, or pass for the metadata block.
 *
 * @example
 * tidy([' tea at four ', '```', '</subvox>']); // { items: ['tea at four', '‹/subvox>'], neutralised: 1 }
 */
export function tidy(list: readonly string[]): Memorables {
  const items = new Set<string>();
  let neutralised = 0;
  for (const raw of list) {
    const stripped = strip(raw.slice(0, MAX_LENGTH));
    const item = strip(inert(stripped));
    if (item !== stripped) neutralised += 1;
    if (item !== '') items.add(item);
  }
  return { items: [...items], neutralised };
}

/** An emoji with its variation selector, skin tone and joined parts, as in a woman with a laptop. */
const EMOJI =
  /\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?(?:\u200D\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?)*/u;

const INVISIBLE = new RegExp(`(${EMOJI.source})|\\p{Default_Ignorable_Code_Point}`, 'gu');

/**
 * Removes characters that nobody sees: zero-width, bidirectional controls, tag characters. Emoji keep their joiners.
 *
 * Source: Unicode's Default_Ignorable_Code_Point (UAX 44). The property RGI_Emoji (UTS 51) would keep flags of regions
 * too, but takes a hundred times as long on a list that is made to be slow.
 */
export function visible(text: string): string {
  return text.replace(INVISIBLE, '$1');
}

function inert(text: string): string {
  // Invisible characters go first: what they split could otherwise grow together into a tag or the canary afterwards.
  return visible(text.toWellFormed().replace(TERMINAL, ''))
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/<(?=\s*[/!?]|\p{L})/gu, '‹')
    .replaceAll(CANARY_END, '…');
}

function strip(text: string): string {
  // The lookbehind keeps this linear: inside a run it fails at once, instead of scanning on to the run's end.
  return text.replace(/^[\s`]+|(?<![\s`])[\s`]+$/g, '');
}
