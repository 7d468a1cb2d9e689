const VERBS = ['draft', 'review', 'compare', 'translate', 'measure', 'rename', 'archive', 'explain'];
const NOUNS = ['letters', 'recipes', 'diagrams', 'ledgers', 'timetables', 'photographs', 'seed-lists'];

const SKILLS = VERBS.flatMap((verb) =>
  NOUNS.map(
    (noun) =>
      `- ${verb}-${noun}: Use this when the person wants to ${verb} ${noun}, names a folder that holds ${noun}, or asks what became of the ${noun} of last week.`,
  ),
).join('\n');

const RULES = NOUNS.map(
  (noun) =>
    `- The ${noun} of this project are kept as they were found; a change to them is shown as a diff and waits for a yes.`,
).join('\n');

/** The two halves of the first role-system message of 2.1.330, some 9 KB; hook context stands between them. */
export const ENVIRONMENT: [before: string, after: string] = [
  `# Environment\nWorking folder: /work/garden\nGit repository: yes\nPlatform: linux\nShell: bash\n\n# Skills\n${SKILLS}`,
  `# Project rules\n${RULES}\n\nToday's date is 2026-11-22.`,
];

export const reminder = (text: string) => `<system-reminder>\n${text}\n</system-reminder>`;

export const SKILLS_REMINDER = reminder(`These skills are available:\n${SKILLS}`);

export const DATE_REMINDER = reminder('# currentDate\nToday is 2026-11-22.');

/** What 2.1.330 puts around the hook's reminders for older models. */
export const AROUND: { before: string[]; after: string[] } = {
  before: [
    reminder('# Environment\nWorking folder: /work/garden'),
    SKILLS_REMINDER,
    reminder(`# Project rules\n${RULES}`),
  ],
  after: [reminder('# Mode\nEdits are accepted without asking.'), DATE_REMINDER, reminder('# Tasks\nNone are open.')],
};

/** Older models on 2.1.330 are told inside each tool result how much room is left. */
export const TOKENS_REMINDER = reminder('<total_tokens>150000</total_tokens>');
