import { parse } from 'yaml';
import { z } from 'zod';

/** A profile whose prompts cannot be used; the message names the profile, the file and what was expected of it. */
export class PromptError extends Error {
  override name = 'PromptError';
}

/** What a persona says of itself around a compaction, ready for the wire. */
export const CompactionPrompts = z.object({
  profile: z.string(),
  /** SHA-256 of the files that it was rendered from. */
  version: z.string(),
  /** Who writes the summary. */
  identity: z.string().min(1),
  /** How the summary is to be written. */
  compact: z.string().min(1),
  /** Introduces what the user asked for with `/compact <words>`. */
  argumentLead: z.string().min(1),
  /** What the persona reads first after the compaction. */
  continuation: z.string().min(1),
});
export type CompactionPrompts = z.infer<typeof CompactionPrompts>;

/** The files of one profile's folder, by name; undefined where there is none. */
export type PromptFiles = Record<'identity.md' | 'compact.md' | 'continuation.md' | 'profile.yaml', string | undefined>;

const ARGUMENT_LEAD = 'For this summary {{human}} asked for this in particular:';

/**
 * Renders a profile's prompts: `{{name}}` becomes the variable of that name, once and nowhere inside a value.
 *
 * `profile.yaml` may set `persona` (default: the profile's name, capitalised), `human` (default: the argument),
 * `argumentLead` (introduces the words of `/compact`) and any further variable. Throws PromptError for a file that is
 * missing or empty and for a variable that nobody sets.
 *
 * @example
 * renderPrompts('alpha', { 'identity.md': 'I am {{persona}}.', … }, 'Sam').identity; // 'I am Alpha.'
 */
export function renderPrompts(profile: string, files: PromptFiles, human: string): Omit<CompactionPrompts, 'version'> {
  const { argumentLead = ARGUMENT_LEAD, ...set } = parseVariables(profile, files['profile.yaml']);
  const variables = { persona: profile.charAt(0).toUpperCase() + profile.slice(1), human, ...set };
  const read = (name: 'identity.md' | 'compact.md' | 'continuation.md') =>
    render(required(files[name], `${profile}/${name}`), variables, `${profile}/${name}`);

  return {
    profile,
    identity: read('identity.md'),
    compact: read('compact.md'),
    argumentLead: render(argumentLead, variables, `${profile}/profile.yaml`),
    continuation: read('continuation.md'),
  };
}

function required(text: string | undefined, file: string): string {
  const trimmed = text?.trim();
  if (!trimmed) throw new PromptError(`${file} is ${text === undefined ? 'missing' : 'empty'}: expected a prompt`);
  return trimmed;
}

function parseVariables(profile: string, source: string | undefined): Record<string, string> {
  const file = `${profile}/profile.yaml`;
  let document: unknown;
  try {
    document = parse(source ?? '') ?? {};
  } catch (error) {
    throw new PromptError(`${file} is no YAML: ${String(error)}`, { cause: error });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw new PromptError(`${file}: expected "name: value" lines`);
  return Object.fromEntries(
    Object.entries(document).map(([name, value]) => {
      if (!['string', 'number'].includes(typeof value) || value === '')
        throw new PromptError(`${file}: expected a text for ${name}, got ${JSON.stringify(value)}`);
      return [name, String(value).trim()];
    }),
  );
}

function render(template: string, variables: Record<string, string>, file: string): string {
  return template.replace(/\{\{(.*?)\}\}/g, (found, name: string) => {
    const value = Object.hasOwn(variables, name.trim()) ? variables[name.trim()] : undefined;
    if (value === undefined)
      throw new PromptError(`${file}: nobody sets ${found}; known are ${Object.keys(variables).sort().join(', ')}`);
    return value;
  });
}
