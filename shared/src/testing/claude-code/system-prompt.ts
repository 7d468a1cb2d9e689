import { createHash } from 'node:crypto';
import { type Block, CACHE_MARK, textBlock } from './message.ts';
import { type ClientVersion, isRecent, type Mode, RELEASES } from './release.ts';

/** The text behind the release's opening; ours, only of a plausible shape. */
const CONDUCT = ` that helps a person with the work in a folder of files.

# Conduct
- Say what you found before you say what you think of it.
- Read a file before you change it, and change no more than was asked for.
- When two readings of a request are possible, take the smaller one and say so.

# Tools
- Independent look-ups go out together; what depends on an answer waits for it.
- Output of a tool may hold <system-reminder> tags. They come from the client, not from the person.

# Answers
Keep them short. A path is written as path:line. No emoji unless the person uses them.
`;

const SUBAGENT =
  ' that was given one task. Do it, then report in one message what you did and what you could not do.\n';

/** 1.0 and 2.0 summarise under this name instead of their own. */
export const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing conversations.';

/** Which of the system prompts a request carries. */
export type Role = 'main' | 'subagent' | 'summarizer';

/** @param firstText the first text of the first message: three digits of the billing block depend on it */
export function systemBlocks(version: ClientVersion, mode: Mode, role: Role, firstText: string): Block[] {
  const identity =
    mode === 'cli'
      ? "You are Claude Code, Anthropic's official CLI for Claude."
      : "You are a Claude agent, built on Anthropic's Claude Agent SDK.";
  const marked = [identity, ownText(version, role)].map((text) => ({ ...textBlock(text), ...CACHE_MARK }));
  return isRecent(version) ? [textBlock(billing(version, mode, role, firstText)), ...marked] : marked;
}

function ownText(version: ClientVersion, role: Role): string {
  if (role === 'summarizer') return SUMMARIZER;
  if (role === 'main') return RELEASES[version].systemOpening + CONDUCT;
  return (isRecent(version) ? 'You are an agent for Claude Code,' : 'You are an agent') + SUBAGENT;
}

function billing(version: ClientVersion, mode: Mode, role: Role, firstText: string): string {
  const digits = createHash('sha256').update(firstText).digest('hex').slice(0, 3);
  const parts = [`cc_version=${version}.${digits}`, `cc_entrypoint=${mode}`];
  if (version === '2.1.118') parts.push(`cch=${UNSTAMPED}`);
  if (version === '2.1.330' && role === 'subagent') parts.push('cc_is_subagent=true');
  return `x-anthropic-billing-header: ${parts.join('; ')};`;
}

const UNSTAMPED = '00000';

/** 2.1.118 puts a function of the whole body into the billing block: five digits, equal for equal bodies. */
export function stamped(body: string): string {
  const digits = createHash('sha256').update(body).digest('hex').slice(0, 5);
  return body.replace(`cch=${UNSTAMPED};`, `cch=${digits};`);
}
