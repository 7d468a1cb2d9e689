const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Four bytes at once, to look for one that is a quote. */
const FOUR_QUOTES = 0x22222222;
const FOUR_ONES = 0x01010101;
const FOUR_TOPS = 0x80808080;
/** A string that is shorter is found again faster than kept: so what is kept is never more than a twentieth of the text. */
const LONG_BYTES = 512;

/**
 * Finds where the strings of a JSON text end, which is most of the work of walking one. While the text still arrives, it
 * can be looked through as far as it is there: the ends of its long strings are then known to the walk.
 *
 * Looking ahead goes from quote to quote and knows nothing else of JSON. In a text that is none it may take for a string
 * what the walk does not, and the walk then asks for other strings; what it is told is the same with and without.
 */
export class JsonStrings {
  readonly #bytes: Buffer;
  /** The same bytes, four at a time, from the first one on that lies at a border of four in memory. */
  readonly #words: Int32Array;
  readonly #firstWord: number;
  /** How far the text was looked through, and where the string begins that is open there; -1 between strings. */
  #seen = 0;
  #open = -1;
  /** Start and end of each long string. */
  readonly #long: number[] = [];
  #next = 0;

  /** @param bytes the whole text, or the room that it is put into as it comes */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#firstWord = -bytes.byteOffset & 3;
    const count = Math.max(0, bytes.length - this.#firstWord) >> 2;
    this.#words =
      count === 0 ? new Int32Array() : new Int32Array(bytes.buffer, bytes.byteOffset + this.#firstWord, count);
  }

  /** Looks the text through from where it was left, up to `end`: so many bytes are there by now. */
  lookAhead(end: number): void {
    while (this.#seen < end) {
      if (this.#open < 0) {
        const start = this.#quote(this.#seen, end);
        this.#seen = Math.min(end, start + 1);
        if (start < end) this.#open = start;
      } else {
        const close = this.#close(this.#seen, end);
        this.#seen = close < 0 ? end : close;
        if (close < 0) return;
        if (close - this.#open >= LONG_BYTES) this.#long.push(this.#open, close);
        this.#open = -1;
      }
    }
  }

  /**
   * Where the string token ends that begins at `start`, behind its closing quote; -1 where it does not end. It costs least
   * when the strings are asked for in their order.
   */
  endOf(start: number): number {
    const long = this.#long;
    while (this.#next < long.length && (long[this.#next] as number) < start) this.#next += 2;
    if (long[this.#next] === start) return long[this.#next + 1] as number;
    return this.#close(start + 1, this.#bytes.length);
  }

  /** The end of a string, from anywhere inside it on; -1 where it is not before `end`. */
  #close(from: number, end: number): number {
    for (let at = from; ; ) {
      const quote = this.#quote(at, end);
      if (quote >= end) return -1;
      // The string's own first quote stops this at the latest.
      let before = quote - 1;
      while (this.#bytes[before] === BACKSLASH) before--;
      at = quote + 1;
      if ((quote - before) % 2 === 1) return at;
    }
  }

  /**
   * Where the next quote is, `end` or beyond where there is none before. It is looked for in four bytes at a time: one of
   * the four bytes of `quoted` is zero where the text has one.
   */
  #quote(from: number, end: number): number {
    const bytes = this.#bytes;
    const words = this.#words;
    const firstWord = this.#firstWord;
    let at = from;
    // Up to a border of four; most keys end before it.
    const border = Math.min(end, from + ((firstWord - from) & 3));
    for (; at < border; at++) if (bytes[at] === QUOTE) return at;
    const lastWord = (end - firstWord) >> 2;
    for (let word = (at - firstWord) >> 2; word < lastWord; word++) {
      const quoted = (words[word] as number) ^ FOUR_QUOTES;
      const zeros = (quoted - FOUR_ONES) & ~quoted & FOUR_TOPS;
      // The lowest byte is the first one.
      if (zeros !== 0) return firstWord + 4 * word + ((31 - Math.clz32(zeros & -zeros)) >> 3);
    }
    at = Math.max(at, firstWord + 4 * lastWord);
    while (at < end && bytes[at] !== QUOTE) at++;
    return at;
  }
}
