import type { Answer, ToolUse } from '@loom/shared/testing/answer.ts';

/** One turn: what is typed, what the model does first, and what it says in the end. */
export interface StoryTurn {
  /** What Intro noticed before this turn: the memorables of the session. */
  memorables: string[];
  prompt: string;
  toolUse: ToolUse;
  toolResult: string;
  answer: string;
}

const tool = (id: string, command: string): ToolUse => ({ id: `toolu_${id}`, name: 'Bash', input: { command } });

/** Three turns with a tool loop each, for the demo. */
export const TURNS: StoryTurn[] = [
  {
    memorables: ['Sam waters the basil on Sundays.', 'The balcony faces north.'],
    prompt: 'The basil looks pale. Is there anything in my garden notes?',
    toolUse: tool('notes', 'cat garden/notes.md'),
    toolResult: 'basil: repotted in May\nmint: too close to the wall',
    answer: 'Your notes say it was repotted in May. On a north balcony it mostly wants light.',
  },
  {
    memorables: ['Sam waters the basil on Sundays.', 'The balcony faces north.'],
    prompt: 'Then let us move it. Which spot gets the most sun?',
    toolUse: tool('sun', 'garden/sun-hours --by spot'),
    toolResult: 'rail 2.5 h\nkitchen window 4.0 h\ntable 1.5 h',
    answer: 'The kitchen window, with four hours. I would move it there.',
  },
  {
    memorables: ['The mint is older than the flat.'],
    prompt: 'Done. Write that down, please, and look whether the mint is fine.',
    toolUse: tool('write', 'echo "basil: moved to the kitchen window" >> garden/notes.md'),
    toolResult: '',
    answer: 'Written down. The mint stands too close to the wall, as the notes say.',
  },
];

/** What `/compact` is told, what the persona writes, and the turn that follows. */
export const COMPACTION = {
  args: 'keep the sun hours',
  summary: {
    text: '<summary>\nI helped Sam with the basil: repotted in May, moved to the kitchen window (4.0 h of sun). Next, I think: the mint.\n</summary>',
  } satisfies Answer,
};
export const AFTER = {
  prompt: 'And now?',
  answer: 'I am back. I think the mint comes next: it stands too close to the wall. Shall I look?',
};
