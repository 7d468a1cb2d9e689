import { decodeEvent, InvalidEventError, type LoomEvent } from '@loom/shared/event.ts';

/** An entry of a stream. */
export interface Entry {
  /** The stream's key. */
  key: string;
  /** `<milliseconds>-<sequence>`, given by Redis. */
  id: string;
  /** Names and values in turn. */
  fields: string[];
}

/** The event of an entry; undefined when it is none, or of a type that is newer than this program. */
export function findEvent({ fields }: Entry): LoomEvent | undefined {
  try {
    return decodeEvent(fields);
  } catch (error) {
    if (error instanceof InvalidEventError) return undefined;
    throw error;
  }
}

/**
 * An entry as an object: CloudEvents in JSON, `data` parsed where it is JSON, with where it stands in Redis.
 *
 * @example
 * toObject(entry); // { stream: 'loom:turns', entry: '1760000000000-0', specversion: '1.0', …, data: { turn: … } }
 */
export function toObject({ key, id, fields }: Entry): Record<string, unknown> {
  const pairs = pairsOf(fields).map(([name, value]) => [name, name === 'data' ? parsedOr(value) : value]);
  return { stream: key, entry: id, ...Object.fromEntries(pairs) };
}

/** Names with their values. */
export function pairsOf(fields: readonly string[]): [name: string, value: string][] {
  return fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1] ?? '']] : []));
}

/** A text as JSON, or as it is where it is none. */
export function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Shown as it came: whoever looks at it wants to see what is wrong.
    return text;
  }
}
