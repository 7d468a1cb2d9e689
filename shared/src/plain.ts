const ESC = String.fromCharCode(0x1b);
const BEL = String.fromCharCode(0x07);
/** The eight-bit forms of the introducers, C1. */
const CSI = String.fromCharCode(0x9b);
const STRINGS = [0x90, 0x98, 0x9d, 0x9e, 0x9f].map((code) => String.fromCharCode(code)).join('');
const ST = String.fromCharCode(0x9c);

/** What moves, colours, links and answers in a terminal (ECMA-48): control sequences, strings that end, short escapes. */
const SEQUENCE = new RegExp(
  [
    `(?:${ESC}\\[|${CSI})[0-?]*[ -/]*[@-~]`,
    `(?:${ESC}[PX\\]^_]|[${STRINGS}])[^${ESC}${BEL}${ST}]*(?:${BEL}|${ST}|${ESC}\\\\)`,
    `${ESC}[ -/]*[0-~]`,
  ].join('|'),
  'g',
);

/** An emoji with its variation selector, skin tone and joined parts, whose joiners have to stay. */
const EMOJI =
  /\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?(?:\u200D\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?)*/u;

/** Controls, and what nobody sees: zero-width characters, bidirectional controls, tags (UAX 44). */
const UNSEEN = new RegExp(`(${EMOJI.source})|[\\p{Cc}\\p{Cf}\\p{Default_Ignorable_Code_Point}]`, 'gu');

const HARMLESS = /^[ -~]*$/;

/**
 * Makes a text from outside one that a terminal only shows: nothing in it moves the cursor, changes a colour or a title,
 * hides, or turns the reading direction. Each line break or tab becomes a blank.
 *
 * @example
 * inert('tea\n\u001b[2J at \u202efour'); // 'tea  at four'
 */
export function inert(text: string): string {
  if (HARMLESS.test(text)) return text;
  const still = text.toWellFormed().replace(SEQUENCE, '').replace(/\s/g, ' ');
  return still.replace(UNSEEN, (_, emoji?: string) => emoji ?? '');
}

/**
 * The same with runs of blanks made one, and none at either end.
 *
 * @example
 * plain('tea\n\u001b[2J at \u202efour'); // 'tea at four'
 */
export function plain(text: string): string {
  return inert(text).replace(/ +/g, ' ').trim();
}

/** What JSON leaves as it is, and a terminal does not: DEL, C1, and characters that nobody sees. */
const UNSEEN_IN_JSON = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]/gu;

/**
 * Writes a value as one line of JSON that a terminal only shows: what it might obey is escaped, so it reads back the same.
 *
 * @example
 * plainJson({ text: '\u202etea' }); // '{"text":"\\u202etea"}'
 */
export function plainJson(value: unknown): string {
  return (JSON.stringify(value) ?? 'null').replace(UNSEEN_IN_JSON, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
