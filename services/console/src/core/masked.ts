import { applyEdits, type Edit, visit } from 'jsonc-parser';

/** Names of values that are nobody's to see, unless they only say where the secret lies. */
const SECRET = /token|secret|key|password|passwd|credential|auth|headers?/i;
const PLACE = /_FILE$|_PATH$/;

/** A shorter value is a switch: `1`, `true`. */
const LEAST_LENGTH = 6;

/** Secrets that stand in the middle of another text: a key of the API, a bearer token, the password of a URL. */
const INSIDE = /sk-[\w-]{8,}|(?<=Bearer\s+)[^\s"'\\]+|(?<=:\/\/)[^\s/"'@]+(?=@)/gi;

/**
 * JSON text with its secrets left out, to be shown to a person.
 *
 * @example
 * masked('{"ANTHROPIC_AUTH_TOKEN": "tea"}'); // '{"ANTHROPIC_AUTH_TOKEN": "…"}'
 */
export function masked(text: string): string {
  const edits: Edit[] = [];
  let name = '';
  visit(text, {
    onObjectProperty: (property) => {
      name = property;
    },
    onLiteralValue: (value, offset, length) => {
      if (typeof value === 'string' && value.length >= LEAST_LENGTH && SECRET.test(name) && !PLACE.test(name))
        edits.push({ offset, length, content: '"…"' });
    },
  });
  return applyEdits(text, edits).replace(INSIDE, '…');
}
