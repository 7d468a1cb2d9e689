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
  /** The span of the client's own tracing that the root span descends from, in the same trace. */
  parent_span_id: z.string().optional(),
  prompt_id: z.string().optional(),
  prompt: z.string().optional(),
  transcript_path: z.string().optional(),
  /** The profile that the session runs under, such as `alpha`. */
  source: z.string().optional(),
  machine: z.record(z.string(), z.unknown()).optional(),
  sent_at: z.string().optional(),
  cwd: z.string().optional(),
  /** How long the hook collected, milliseconds. */
  collected_ms: z.number().optional(),
  /** The hook sends its own spans, so nobody else does. */
  exports_spans: z.boolean().optional(),
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
  | 'parent_span_id'
  | 'prompt_id'
  | 'prompt'
  | 'transcript_path'
  | 'source'
  | 'machine'
  | 'sent_at'
  | 'cwd'
  | 'collected_ms'
  | 'exports_spans'
>;

/** What a block can do without, in the order in which it goes once the whole prompt has gone. */
const DISPENSABLE = ['machine', 'cwd', 'transcript_path'] as const;

/**
 * Writes the block as one line of JSON of at most 8,000 characters. The prompt is shortened first; where that is not
 * enough, machine, cwd and transcript path go. The others are short: whoever reads them from outside bounds them.
 * `services/prompt-hook` writes the same bytes without a dependency.
 *
 * @param secret signs the block (`LOOM_HOOK_SECRET`)
 *
 * @example
 * formatMetadata({ v: 1, session_id: 'f00', prompt: 'Tea?', source: 'alpha' }); // '{"canary":"LOOM_…","v":1,…}'
 */
export function formatMetadata(fields: MetadataFields, secret?: string): string {
  const room = MAX_METADATA_LENGTH - (secret ? 80 : 0);
  let kept = fields;
  if (fields.prompt && toLine(fields).length > room) kept = { ...fields, prompt: shorten(fields.prompt, fields, room) };
  for (const name of DISPENSABLE) if (toLine(kept).length > room) kept = { ...kept, [name]: undefined };
  const line = toLine(kept);
  return secret ? `${line.slice(0, -1)},"sig":"${sign(line, secret)}"}` : line;
}

/** The longest beginning of the prompt that leaves the line short enough; how long it gets escaped, only trying tells. */
function shorten(prompt: string, fields: MetadataFields, room: number): string {
  const beginning = (length: number) => prompt.slice(0, length).toWellFormed();
  let length = 0;
  let tooLong = Math.min(prompt.length, room) + 1;
  while (tooLong - length > 1) {
    const middle = Math.floor((length + tooLong) / 2);
    if (toLine({ ...fields, prompt: beginning(middle) }).length <= room) length = middle;
    else tooLong = middle;
  }
  return beginning(length);
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
