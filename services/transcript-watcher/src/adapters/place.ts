/** Where reading goes on, shared by all who read the file. */
export interface Place {
  /** How often the file was cut short or replaced by another. */
  epoch: number;
  /** Of the first line that is not read, bytes. */
  offset: number;
  /** Fingerprint of what stands before it. */
  tail: string;
  /** How many lines were known when this epoch began: published, or there before reading began. */
  known: number;
  /** Up to where this epoch's lines are known; less than the offset until all are that stood there before reading began. */
  noted: number;
}

/** As Redis holds it. */
export const PLACE_FIELDS = ['epoch', 'offset', 'tail', 'known', 'noted'] as const;

/** The place before which nothing was read. */
export const START: Place = { epoch: 0, offset: 0, tail: '0:', known: 0, noted: 0 };

/** Whether nothing was read of the file yet, and nothing is known of it. */
export function isStart({ epoch, offset, known }: Place): boolean {
  return epoch === START.epoch && offset === START.offset && known === START.known;
}

/** What Redis holds as a file's place is none: an operator has to look. */
export class InvalidPlaceError extends Error {
  override name = 'InvalidPlaceError';
}

/**
 * Reads what Redis holds as a file's place.
 *
 * @param key names it in the error
 * @param reply the fields' values, in the order of PLACE_FIELDS
 * @returns undefined when there is none
 * @throws InvalidPlaceError
 */
export function findPlace(key: string, reply: unknown): Place | undefined {
  const fields = reply as (string | null)[];
  if (fields.every((field) => field === null)) return undefined;
  const [epoch, offset, tail, known, noted] = fields;
  if ([epoch, offset, known, noted].every(isCount) && typeof tail === 'string') {
    return { epoch: Number(epoch), offset: Number(offset), tail, known: Number(known), noted: Number(noted) };
  }
  const got = JSON.stringify({ epoch, offset, tail, known, noted });
  throw new InvalidPlaceError(
    `expected epoch, offset, tail, known and noted in ${key}, got ${got}: delete it to begin anew`,
  );
}

function isCount(field: unknown): boolean {
  return typeof field === 'string' && /^(0|[1-9]\d{0,14})$/.test(field);
}
