import { createHash } from 'node:crypto';
import type { BodyParts } from '../core/splice.ts';

/** SHA-256 of a body in pieces, hex. */
export function sha256OfParts(parts: BodyParts): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest('hex');
}
