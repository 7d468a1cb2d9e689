import { z } from 'zod';
import { RequestClass } from './event.ts';

/** Where a literal is looked for: the `system` prompt, the newest message that is not `role: system`, or every message. */
const LiteralPlace = z.enum(['system', 'last', 'any']);

/**
 * What a rewriter asks to be shown. `human`: the newest message was typed by a person, in a main request. `literal`: a
 * text holds the literal (a run without line breaks and quotes is the safest choice). `class`: requests of that class.
 * `every`: each request. Only main and compaction requests are ever shown, and never a `count_tokens`.
 */
export const Want = z.discriminatedUnion('on', [
  z.looseObject({ on: z.literal('human') }),
  z.looseObject({
    on: z.literal('literal'),
    label: z.string().regex(/^[a-z0-9._-]{1,64}$/i),
    literal: z.string().min(8),
    where: LiteralPlace,
  }),
  z.looseObject({ on: z.literal('class'), class: RequestClass }),
  z.looseObject({ on: z.literal('every') }),
]);
export type Want = z.infer<typeof Want>;

/**
 * How a rewriter announces itself to the gateways: the value of the field `<name>` of the hash `<prefix>:rewriters`,
 * and alive as long as the key `<prefix>:rewriter:<name>` exists (EX 10, renewed every 3 s by each replica).
 */
export const RewriterDeclaration = z.looseObject({
  name: z.string().regex(/^[a-z0-9-]{1,64}$/),
  /** Edits are applied in ascending order; on a conflict the earlier one wins. */
  order: z.int().min(0).max(1000),
  /** The longest that a request waits for this rewriter, milliseconds. */
  holdMs: z.int().min(1).max(30_000),
  /** `wait`: a request that matches is held although no replica is alive, because what it loses cannot be undone. */
  whenAbsent: z.enum(['forward', 'wait']),
  /** The profiles whose sessions it edits; `*` is every profile but `passthrough`. */
  profiles: z.array(z.string().min(1)).min(1),
  wants: z.array(Want).min(1),
  view: z.array(z.enum(['system', 'last', 'matched'])),
});
export type RewriterDeclaration = z.infer<typeof RewriterDeclaration>;

/** A declaration before the run loop puts the service's name to it. */
export type RewriterOptions = Pick<
  RewriterDeclaration,
  'order' | 'holdMs' | 'whenAbsent' | 'profiles' | 'wants' | 'view'
>;
