import { z } from 'zod';

/** A text block as the Messages API takes it; the only kind of block that a rewriter may write. */
export const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string().min(1),
});
export type TextBlock = z.infer<typeof TextBlock>;

const path = z.string().regex(/^(\/(?:[^~/]|~[01])*)+$/, 'expected a JSON Pointer such as /messages/0/content/1/text');
const durable = z.boolean().optional();

/**
 * One edit: an operation of RFC 6902 on the request as the event shows it (metadata cut, earlier durable edits replayed).
 *
 * `durable` asks the gateway to replay the edit, byte for byte, in every later request of the session that holds the
 * same message. It goes with `replace` of a `…/text` and with `add` at `…/content/-` of a user message.
 *
 * @example
 * { op: 'add', path: '/messages/4/content/-', value: { type: 'text', text: 'Remember the tea.' }, durable: true }
 */
export const Edit = z.discriminatedUnion('op', [
  z.strictObject({ op: z.literal('test'), path, value: z.unknown() }),
  z.strictObject({
    op: z.literal('replace'),
    path,
    value: z.union([z.string().min(1), TextBlock]),
    durable,
  }),
  z.strictObject({ op: z.literal('add'), path, value: TextBlock, durable }),
  z.strictObject({ op: z.literal('remove'), path }),
]);
export type Edit = z.infer<typeof Edit>;

/**
 * Splits a JSON Pointer (RFC 6901) into its unescaped segments.
 *
 * @example
 * parsePointer('/messages/3/content/0/text'); // ['messages', '3', 'content', '0', 'text']
 */
export function parsePointer(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}
