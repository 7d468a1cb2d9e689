import { z } from 'zod';

/** A content block of the Messages API; texts are cut, images and other binary data named by their hash alone. */
export const ContentBlock = z.looseObject({ type: z.string() });
export type ContentBlock = z.infer<typeof ContentBlock>;

export const CapturedMessage = z.looseObject({
  role: z.string(),
  content: z.array(ContentBlock),
});
export type CapturedMessage = z.infer<typeof CapturedMessage>;

/** What an exchange said, as far as `LOOM_CAPTURE` lets it out of the gateway. Redacted, then cut to its limits. */
export const ExchangeCaptured = z.looseObject({
  /** delta: the messages after the newest assistant message; full: all of them. */
  capture: z.enum(['delta', 'full']),
  /** As they went upstream, metadata cut and edits applied. */
  input: z.array(CapturedMessage),
  /** How many messages before those were left out. */
  inputOmitted: z.int().nonnegative(),
  /** `system`, in full capture alone. */
  system: z.array(ContentBlock).optional(),
  /** The names of the tools that were offered, in full capture alone. */
  tools: z.array(z.string()).optional(),
  /** The body's scalars that steer the model: `max_tokens`, `temperature`, `thinking`, `tool_choice` and the like. */
  parameters: z.record(z.string(), z.unknown()),
  /** The answer's blocks in order, tool inputs as objects. */
  output: z.array(ContentBlock),
  /** Whether anything was cut. */
  truncated: z.boolean(),
  /** How many blocks were left out of `input`, `output` or `system` for their size, the oldest ones. */
  inputDropped: z.int().positive().optional(),
  outputDropped: z.int().positive().optional(),
  systemDropped: z.int().positive().optional(),
});

/**
 * How much of the content may go on into telemetry, as the operator of the gateway wants it (`LOOM_CAPTURE`). none and
 * metadata: nothing of it; whoever writes spans or turns then leaves prompt and answer out, too.
 */
export const CaptureMode = z.enum(['none', 'metadata', 'delta', 'full']);
export type CaptureMode = z.infer<typeof CaptureMode>;
