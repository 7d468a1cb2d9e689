import { once } from 'node:events';
import type { ClientRequest } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BodyParts, lengthOf, slicesOf } from '../core/splice.ts';

/** So much is written in one turn of the event loop, bytes: on its way it is encrypted and copied. */
const SLICE_BYTES = 1_048_576;

/**
 * Writes a body that was read whole, and ends the request: at once, so that it leaves in as few packets as there can be,
 * or in slices where that would hold up everybody else.
 *
 * @returns whether it is still to be written
 */
export function sendBody(request: ClientRequest, body: BodyParts): boolean {
  const isLong = lengthOf(body) > SLICE_BYTES;
  // Whoever made the request hears of it: half a body must not wait for the rest for ever.
  if (isLong) sendSlices(request, body).catch((error: Error) => request.destroy(error));
  else {
    write(request, body);
    request.end();
  }
  return isLong;
}

/** Each in a turn of its own, and when the system has taken the one before it. */
async function sendSlices(request: ClientRequest, body: BodyParts): Promise<void> {
  for (const slice of slicesOf(body, SLICE_BYTES)) {
    if (request.destroyed) return;
    write(request, slice);
    request.uncork();
    if (request.writableNeedDrain) await once(request, 'drain');
    await nextTurn();
  }
  request.end();
}

function write(request: ClientRequest, parts: BodyParts): void {
  request.cork();
  for (const part of parts) request.write(part);
}
