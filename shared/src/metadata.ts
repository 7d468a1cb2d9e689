import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

/** Marks the one-line JSON object that the client's hook puts into a request for Loom, and Loom cuts out again. */
export const CANARY = 'LOOM_METADATA_UlVCQkVSRFVDSw';

/** The longest block, characters: the client cuts hook context above 10,000. */
export const MAX_METADATA_LENGTH = 8_000;

/** Everything but the canary is optional: a hook of another version, or a part that could not be read, is no fault. */
export const Metadata = z.looseObject({
  canary: z.literal(CANARY),
  v: z.number().optional(),
  session_id: z.string().optional(),
  trace_id: z.string().optional(),
  traceparent: z.string().optional(),
  prompt_id: z.string().optional(),
  prompt: z.string().optional(),
  transcript_path: z.string().optional(),
  /** The profile that the session runs under, such as `alpha`. */
  source: z.string().optional(),
  machine: z.record(z.string(), z.unknown()).optional(),
  sent_at: z.string().optional(),
  /** HMAC-SHA256, hex, over the line without this member; always the last one. */
  sig: z.string().optional(),
});
export type Metadata = z.infer<typeof Metadata>;

/** What goes into a block besides the canary and the signature. */
export type MetadataFields = Pick<
  Metadata,
  | 'v'
  | 'session_id'
  | 'trace_id'
  | 'traceparent'
  | 'prompt_id'
  | 'prompt'
  | 'transcript_path'
  | 'source'
  | 'machine'
  | 'sent_at'
>;

/**
 * Writes the block as one line of JSON of at most 8,000 characters; the prompt is shortened first.
 *
 * @param secret signs the block (`LOOM_HOOK_SECRET`)
 *
 * @example
 * formatMetadata({ v: 1, session_id: 'f00', prompt: 'Tea?', source: 'alpha' }); // '{"canary":"LOOM_…","v":1,…}'
 */
export function formatMetadata(fields: MetadataFields, secret?: string): string {
  const room = MAX_METADATA_LENGTH - (secret ? 80 : 0);
  let prompt = fields.prompt;
  let line = toLine(fields);
  while (line.length > room && prompt) {
    prompt = prompt.slice(0, Math.max(0, prompt.length - (line.length - room))).toWellFormed();
    line = toLine({ ...fields, prompt });
  }
  return secret ? `${line.slice(0, -1)},"sig":"${sign(line, secret)}"}` : line;
}

/** Without `<`: some clients escape the tags of their own wrappers in it, and a signature would no longer fit. */
function toLine(fields: MetadataFields): string {
  return JSON.stringify({ canary: CANARY, ...fields }).replaceAll('<', '\\u003c');
}

/** Whether a line that `formatMetadata` wrote bears the signature of this secret. */
export function isSignedWith(line: string, secret: string): boolean {
  const match = /,"sig":"([0-9a-f]{64})"\}$/.exec(line);
  if (!match) return false;
  const expected = sign(`${line.slice(0, match.index)}}`, secret);
  return timingSafeEqual(Buffer.from(match[1] as string), Buffer.from(expected));
}

function sign(line: string, secret: string): string {
  return createHmac('sha256', secret).update(line).digest('hex');
}
