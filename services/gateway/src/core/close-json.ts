/**
 * Parses JSON that broke off: an open string and open brackets are closed where it ends, a member or an element that had
 * only begun is left out. Undefined for what is no JSON at all.
 *
 * @param ending goes into the string that broke off
 *
 * @example
 * closeJson('{"path":"/a","text":"Once upon', '…'); // { path: '/a', text: 'Once upon…' }
 */
export function closeJson(broken: string, ending: string): unknown {
  const closers: string[] = [];
  let isString = false;
  /** An escape that broke off has no meaning: it is left out. */
  let end = broken.length;
  /** The last place where everything before it is whole, and what closes it there. */
  let whole = { end: 0, closing: '' };
  for (let at = 0; at < broken.length; at++) {
    const char = broken[at];
    if (isString) {
      if (char === '\\') {
        const length = broken[at + 1] === 'u' ? 6 : 2;
        if (at + length > broken.length) end = at;
        at += length - 1;
      } else if (char === '"') isString = false;
    } else if (char === '"') isString = true;
    else if (char === '{' || char === '[') {
      closers.push(char === '{' ? '}' : ']');
      whole = { end: at + 1, closing: closers.toReversed().join('') };
    } else if (char === '}' || char === ']') closers.pop();
    else if (char === ',') whole = { end: at, closing: closers.toReversed().join('') };
  }
  const closing = closers.toReversed().join('');
  const open = isString ? `${broken.slice(0, end)}${ending}"` : broken;
  return parse(open + closing) ?? parse(broken.slice(0, whole.end) + whole.closing);
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // The caller has another try, or does without.
    return undefined;
  }
}
