import { isContinuation } from './compaction.ts';
import { AROUND, DATE_REMINDER, ENVIRONMENT, SKILLS_REMINDER } from './environment.ts';
import { type HookOutput, hookLines, hookReminders, hookWrapper } from './hook-context.ts';
import { type Message, systemMessage, userMessage } from './message.ts';
import { type ClientVersion, hasSystemMessages, type Mode } from './release.ts';

/** One prompt, and what the hooks said to it. */
export interface Prompt {
  prompt: string;
  hook: HookOutput;
  /** The first prompt of a session brings the environment with it. */
  first: boolean;
  /** Typed after Esc. */
  interrupted: boolean;
}

/** A prompt with the texts that go in front of it: a continuation, commands, an interruption. */
export interface Turn extends Prompt {
  leading: string[];
}

export interface Placement {
  version: ClientVersion;
  model: string;
  mode: Mode;
}

/**
 * The messages of turns that no answer came between; more than one when earlier ones failed or were interrupted.
 */
export function turnMessages(turns: Turn[], placement: Placement): Message[] {
  const { version, model } = placement;
  if (turns.length === 0) return [];
  if (hasSystemMessages(version, model)) return withSystemMessage(turns);
  return turns.flatMap((turn, index) => {
    const isLast = index === turns.length - 1;
    const message = userMessage(...textsOf(turn, placement, isLast));
    // 2.1.118 alone closes a failed turn by an exchange of its own.
    if (version !== '2.1.118' || isLast || turns[index + 1]?.interrupted) return [message];
    const closing = userMessage('Continue from where you left off.');
    return [message, closing, { role: 'assistant', content: userMessage('No response requested.').content }];
  });
}

function withSystemMessage(turns: Turn[]): Message[] {
  const prompts = userMessage(
    ...spaced(
      turns.flatMap(({ leading, prompt }) => [...leading, prompt]),
      turns.length > 1,
    ),
  );
  const lines = turns.flatMap(({ hook }) => hookLines(hook));
  const [before, after] = ENVIRONMENT;
  const parts = turns.some(({ first }) => first) ? [before, ...lines, after] : lines;
  return parts.length > 0 ? [prompts, systemMessage(parts.join('\n\n'))] : [prompts];
}

function textsOf(turn: Turn, { version, mode }: Placement, isLast: boolean): string[] {
  const { leading, prompt, hook, first } = turn;
  switch (version) {
    case '1.0.128':
      return [...leading, prompt, hookWrapper(hook)].filter((text) => text !== undefined);
    case '2.0.76':
      return [...leading, ...hookReminders(version, hook), prompt];
    case '2.1.118': {
      const run = hookReminders(version, hook);
      const reminders = closed(first ? [SKILLS_REMINDER, ...run, DATE_REMINDER] : run);
      return mode === 'cli' && isContinuation(leading[0])
        ? [...reminders, ...leading, prompt]
        : [...leading, ...reminders, prompt];
    }
    case '2.1.330': {
      const run = hookReminders(version, hook);
      const reminders = closed(first ? [...AROUND.before, ...run, ...AROUND.after] : run);
      return [...leading, ...reminders, isLast ? prompt : `${prompt}\n`];
    }
  }
}

/** The last reminder of a run ends with a line break of its own. */
function closed(reminders: string[]): string[] {
  return reminders.map((text, index) => (index === reminders.length - 1 ? `${text}\n` : text));
}

function spaced(texts: string[], isMerged: boolean): string[] {
  return isMerged ? texts.map((text, index) => (index === texts.length - 1 ? text : `${text}\n`)) : texts;
}
