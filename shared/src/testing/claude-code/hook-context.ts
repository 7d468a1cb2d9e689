import { reminder } from './environment.ts';
import type { ClientVersion } from './release.ts';

/** What the UserPromptSubmit hooks printed for one prompt. */
export interface HookOutput {
  /** `additionalContext` of a hook that answers with JSON. */
  context?: string | undefined;
  /** The output of a hook that prints text. */
  plain?: string | undefined;
}

/** Hook output above this is not sent whole. */
const MAX_CHARACTERS = 10_000;
const PREVIEW_CHARACTERS = 2_000;

const SUCCESS = 'UserPromptSubmit hook success: ';
const CONTEXT = 'UserPromptSubmit hook additional context: ';

/** 1.0.128: one wrapper around all hooks' output; undefined when no hook said anything. */
export function hookWrapper({ context, plain }: HookOutput): string | undefined {
  const parts = [context, plain].filter((part) => part !== undefined);
  return parts.length > 0 ? `<user-prompt-submit-hook>${parts.join('\n\n')}</user-prompt-submit-hook>` : undefined;
}

/** 2.0.76 and later, in a user message: a reminder for each piece of output. */
export function hookReminders(version: ClientVersion, { context, plain }: HookOutput): string[] {
  return [
    ...(context !== undefined && version === '2.0.76' ? [`${SUCCESS}Success`] : []),
    ...(context !== undefined ? [CONTEXT + written(version, context)] : []),
    ...(plain !== undefined ? [SUCCESS + written(version, plain)] : []),
  ].map(reminder);
}

/** 2.1.330 with its own models: plain lines, nothing that ends them. */
export function hookLines({ context, plain }: HookOutput): string[] {
  return [
    ...(plain !== undefined ? [SUCCESS + written('2.1.330', plain)] : []),
    ...(context !== undefined ? [CONTEXT + written('2.1.330', context)] : []),
  ];
}

/** Whether a text is one that `hookReminders` wrote. */
export function isHookReminder(text: string | undefined): boolean {
  return text?.startsWith('<system-reminder>\nUserPromptSubmit hook ') ?? false;
}

function written(version: ClientVersion, output: string): string {
  if (version === '2.0.76')
    return output.length > MAX_CHARACTERS
      ? `${output.slice(0, MAX_CHARACTERS)}… [output truncated - exceeded ${MAX_CHARACTERS} characters]`
      : output;
  if (output.length > MAX_CHARACTERS) {
    const size = `${(Buffer.byteLength(output) / 1024).toFixed(1)}KB`;
    const file = '/home/user/.claude/tool-results/hook.txt';
    return `<persisted-output>\nOutput too large (${size}). Full output saved to: ${file}\n\nPreview (first 2KB):\n${output.slice(0, PREVIEW_CHARACTERS)}\n...\n</persisted-output>`;
  }
  // Only 2.1.330 keeps a hook from closing the wrapper around it.
  return version === '2.1.330' ? output.replaceAll('</system-reminder>', '&lt;/system-reminder>') : output;
}
