import { CANARY } from '@loom/shared/metadata.ts';
import { scrub } from '@loom/shared/redaction.ts';

/** The longest text of a capture, characters. */
export const MAX_TEXT_CHARACTERS = 16_384;
/** How far behind the cut a secret may reach and still be found, characters. */
const REACH_CHARACTERS = 8_192;
/** As much of a text as is ever looked at, characters. */
export const WINDOW_CHARACTERS = MAX_TEXT_CHARACTERS + REACH_CHARACTERS;

const OMISSION = /… \[\+(\d+) characters\]$/;
const CREDENTIAL_KEY = /^(?:x-)?(?:api[-_]?key|authorization|proxy-authorization|cookie|set-cookie|password)$/i;
/** What clients tell the model of the account. */
const ACCOUNT_EMAIL = /(\buser's email address is )[^\s<>"]+/gi;
const MAX_DEPTH = 32;

/** Says how much of a text is missing. */
export function omission(characters: number): string {
  return `… [+${characters} characters]`;
}

/**
 * Takes out of what is captured whatever must not leave the gateway, then cuts each text to its length. In this order: a
 * secret that lies across the cut is found whole.
 */
export class Redactor {
  /** Whether anything was cut. */
  isTruncated = false;
  readonly #patterns: readonly RegExp[];
  readonly #literals: readonly string[];

  /**
   * @param patterns the operator's own (`LOOM_REDACT`), with the flag `g`
   * @param literals texts that are secret in this exchange
   */
  constructor(patterns: readonly RegExp[], literals: readonly string[]) {
    this.#patterns = patterns;
    this.#literals = literals;
  }

  text(text: string): string {
    const window = text.slice(0, WINDOW_CHARACTERS);
    const redacted = this.#redact(window);
    const missing = OMISSION.exec(text.slice(-40));
    const isWhole = window.length === text.length && !missing;
    if (isWhole && redacted.length <= MAX_TEXT_CHARACTERS) return redacted.toWellFormed();
    this.isTruncated = true;
    // The end of what broke off may hold half of a secret.
    const seen = isWhole ? redacted.length : Math.max(0, redacted.length - REACH_CHARACTERS);
    const room = Math.min(MAX_TEXT_CHARACTERS, seen);
    const omitted = text.length - window.length + redacted.length - room;
    const before = missing ? Number(missing[1]) - missing[0].length : 0;
    return redacted.slice(0, room).toWellFormed() + omission(omitted + before);
  }

  /** The same for every string of a value. */
  value(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth > MAX_DEPTH) {
      this.isTruncated = true;
      return '[deep]';
    }
    if (Array.isArray(value)) return value.map((item) => this.value(item, depth + 1));
    const members = Object.entries(value).map(([key, member]) => {
      const isCredential = CREDENTIAL_KEY.test(key) && typeof member === 'string';
      return [key, isCredential ? '[credential]' : this.value(member, depth + 1)];
    });
    return Object.fromEntries(members);
  }

  #redact(text: string): string {
    let redacted = withoutMetadata(text).replace(ACCOUNT_EMAIL, '$1[redacted]');
    for (const literal of this.#literals) redacted = redacted.replaceAll(literal, '[redacted]');
    for (const pattern of this.#patterns) redacted = redacted.replace(pattern, '[redacted]');
    return scrub(redacted);
  }
}

/** A block that a tool printed, or somebody pasted, went upstream; it is nobody else's to see. */
function withoutMetadata(text: string): string {
  if (!text.includes(CANARY)) return text;
  const lines = text.split('\n');
  return lines.map((line) => (line.includes(CANARY) ? '[metadata]' : line)).join('\n');
}
