import type { Want } from '@loom/shared/rewriter.ts';
import { parse } from 'yaml';
import { z } from 'zod';

/** A pack that does not say what a signature needs: one line a problem, each with its place in the file. */
export class PackError extends Error {
  override name = 'PackError';
}

/** A space of a pattern stands for any white space: clients re-wrap their texts between releases. */
const pattern = z.string().transform((source, context) => {
  try {
    return new RegExp(source.replaceAll(' ', '\\s+'), 'g');
  } catch (error) {
    context.addIssue({ code: 'custom', message: `expected a regular expression, got ${String(error)}` });
    return z.NEVER;
  }
});
const text = z.string().min(1);

const Signature = z.strictObject({
  label: z.string().regex(/^[a-z0-9._-]{1,64}$/, 'expected letters, digits, . _ -'),
  /** Releases of the client that say it so; for readers only. */
  clients: text,
  /** `continued` rewrites nothing: it finds a continuation, so that one which says nothing known is noticed. */
  phase: z.enum(['system', 'instruction', 'continuation', 'continued']),
  where: z.enum(['system', 'last', 'any']),
  literal: z
    .string()
    .regex(/^[^\n"\\]{8,}$/, 'expected at least 8 characters without a line break, quote or backslash'),
  sits: z.enum(['start', 'end', 'appended']),
  opens: pattern.optional(),
  pattern,
  company: pattern.optional(),
  leads: z.array(pattern).default([]),
  keeps: z.array(pattern).default([]),
  argument: z.strictObject({ from: text, to: text.optional() }).optional(),
  needs: text.optional(),
  examples: z.strictObject({
    /** What the persona's continuation is in these examples. */
    own: text.optional(),
    found: z.array(z.strictObject({ text, body: text, argument: text.optional() })).min(1),
    ignored: z.array(text).min(1),
  }),
});

/** How a client words one phase of a compaction, and where; `packs/claude-code.yaml` explains each field. */
export type Signature = z.infer<typeof Signature>;

const Pack = z.looseObject({
  signatures: z
    .array(Signature)
    .min(1)
    .refine((all) => new Set(all.map(({ label }) => label)).size === all.length, 'expected each label once'),
});

/**
 * Reads a pack of signatures (YAML, merge keys allowed); throws PackError with every problem and its place.
 *
 * @example
 * parsePack(await readFile('packs/claude-code.yaml', 'utf8'))[0]?.label; // 'system.summarizer'
 */
export function parsePack(source: string): Signature[] {
  let document: unknown;
  try {
    document = parse(source, { merge: true });
  } catch (error) {
    throw new PackError(`expected YAML, got ${String(error)}`, { cause: error });
  }
  const pack = Pack.safeParse(document);
  if (!pack.success) {
    const lines = pack.error.issues.map(({ path, message }) => `  ${path.join('.') || 'pack'}: ${message}`);
    throw new PackError(`this pack is wrong:\n${lines.join('\n')}`);
  }
  return pack.data.signatures;
}

/**
 * What the gateway has to look for: each signature's literal, and every compaction, so that one which no signature
 * knows is noticed.
 */
export function wantsOf(signatures: Signature[]): Want[] {
  const literals = signatures.map(({ label, literal, where }) => ({ on: 'literal' as const, label, literal, where }));
  return [...literals, { on: 'class', class: 'compaction' }];
}
