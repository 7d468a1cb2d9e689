import { reminder } from './environment.ts';
import { type ClientVersion, isRecent } from './release.ts';

export type Trigger = 'manual' | 'auto';

const TASK = `Your task is to create a detailed summary of the conversation so far, paying close attention to what was asked for and to what has been done about it.
Whoever goes on from here sees nothing but your summary.

First think it through in <analysis> tags. Then write the <summary>, with these headings:
1. Requests
2. Files, and what became of each
3. Faults, and how they were cured
4. What is still open

<example>
<analysis>
[what happened, in order]
</analysis>

<summary>
1. Requests
   [each in a sentence]
</summary>
</example>
`;

const CRITICAL = `CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.

- What you need is in the conversation above.
- A tool call would be refused, and with it your only reply would be spent.
- Your reply consists of an <analysis> block and a <summary> block.

`;

const REMINDER =
  'REMINDER: Do NOT call any tools. Reply with an <analysis> block and a <summary> block as plain text, or you will fail the task.';

/** Added by 2.1.330 when an answer came without `<summary>`. */
const ONCE_MORE =
  'For this reply only: write what the instructions above ask for, in <summary> tags, before anything else is said.';

/** The last text block of a compaction request. Where arguments stand is measured for 2.1.330, assumed for the others. */
export function instruction(version: ClientVersion, args: string | undefined, isRepeated = false): string {
  const asked = args ? `${TASK}\nAdditional Instructions:\n${args}\n` : TASK;
  if (!isRecent(version)) return asked;
  return [`${CRITICAL}${asked}\n${REMINDER}`, ...(isRepeated ? [ONCE_MORE] : [])].join('\n\n');
}

const OPENING = 'This session is being continued from a previous conversation that ran out of context.';

export function isContinuation(text: string | undefined): boolean {
  return text?.startsWith(OPENING) ?? false;
}

/**
 * The text that opens the conversation after a compaction.
 *
 * @param answer what the model answered, `<analysis>` and `<summary>` included
 */
export function continuation(version: ClientVersion, trigger: Trigger, answer: string, transcript: string): string {
  const summary = untagged(answer, isRecent(version));

  if (!isRecent(version)) {
    const text = `${OPENING} The conversation is summarized below:\n${summary}.`;
    return trigger === 'manual'
      ? text
      : `${text}\nPlease continue the conversation from where we left it off without asking the user any further questions. Continue with the last task that you were asked to work on.`;
  }

  const text =
    `${OPENING} The summary below covers the earlier portion of the conversation.\n\n${summary}\n\n` +
    `If you need specific details from before compaction (the exact text of a file, say), read the full transcript at: ${transcript}\n`;
  const goOn =
    'Continue the conversation from where it left off without asking the user any further questions. Resume directly — do not acknowledge the summary, and do not announce that you resume.';
  if (version === '2.1.118') return trigger === 'manual' ? text : text + goOn;

  const toolsUsed = reminder('<tools-used-before-summary>Bash</tools-used-before-summary>');
  const kept =
    'The messages after this summary are the most recent messages from before compaction, kept verbatim. Read them as the newest part of the conversation.';
  return `${text}${toolsUsed}\n${goOn}\n\n${kept}`;
}

/** What the terminal adds to the next prompt after a command that the user typed. */
export function commandTexts(name: 'compact' | 'clear', args: string, output: string): string[] {
  return [
    '<local-command-caveat>The user ran this command in the client; it was not said to you.</local-command-caveat>',
    `<command-name>/${name}</command-name>\n<command-message>${name}</command-message>\n<command-args>${args}</command-args>`,
    `<local-command-stdout>${output}</local-command-stdout>`,
  ];
}

function untagged(answer: string, dropsAnalysis: boolean): string {
  return answer
    .replace(/<analysis>([\s\S]*?)<\/analysis>\s*/, (_, text: string) =>
      dropsAnalysis ? '' : `Analysis:\n${text.trim()}\n\n`,
    )
    .replace(/<summary>([\s\S]*?)<\/summary>/, (_, text: string) => `Summary:\n${text.trim()}`)
    .trim();
}
