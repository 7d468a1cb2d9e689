import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { addConnecting } from './connecting.ts';
import { findSince, type Since } from './core/since.ts';
import { example } from './example.ts';

/**
 * The commands with their options and help. What a command needs is loaded when it runs, so that `loom --help` and a
 * misspelt option are answered at once.
 */
export function createProgram(): Command {
  const program = new Command('loom')
    .description('Connects Claude Code to Loom, says how Loom does, and looks into its Redis Streams.')
    .exitOverride()
    .enablePositionalOptions()
    // With their arguments beside them, the names leave no room for what they mean on a terminal of 80 columns.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'loom: ')) })
    .addHelpText('after', ENVIRONMENT);

  addConnecting(program);

  live(program.command('transcripts'))
    .description('show the lines of the transcripts as they come: → the user, ← the model, · all else')
    .addArgument(optional('[session-prefix]', 'only sessions whose id begins so', 'all of them'))
    .addHelpText('after', example('loom transcripts 3f2a', 'follow one session'))
    .action(async (prefix, options) => (await import('./commands/transcripts.ts')).showTranscripts(prefix, options));

  live(program.command('events'))
    .description('show the entries of one stream, or of all, as they come')
    .argument(
      '[stream]',
      'requests, responses, edits, edits:<gateway>, captures, transcripts, turns, alerts, dead-letters',
    )
    .addHelpText('after', example('loom events alerts --since 1d', 'what went wrong since yesterday'))
    .action(async (stream, options) => (await import('./commands/events.ts')).showEvents(stream, options));

  live(program.command('tail'))
    .description('show each turn in one line, when it has ended; a wider terminal shows more of it')
    .option('--started', 'turns that begin, too')
    .addHelpText('after', example('loom tail --since 1h', 'the turns of the last hour, and those to come'))
    .action(async (options) => (await import('./commands/tail.ts')).showTurns(options));

  program
    .command('trace')
    .description("show the spans of a session's last turn as a tree: start, duration, tokens, cache, cost, edits")
    .addArgument(optional('[session-prefix]', 'the session whose id begins so', 'the newest turn of all'))
    .addOption(json('the turn as one JSON object'))
    .addHelpText('after', example('loom trace 3f2a', "that session's last turn"))
    .action(async (prefix, options) => (await import('./commands/trace.ts')).showTrace(prefix, options));

  program
    .command('why')
    .description('explain one request: who was waited for, what each rewriter did and why, which words changed')
    .addArgument(
      optional(
        '[request-id|session-prefix]',
        "its own id, the API's request-id, or a session for its newest",
        'the newest request of all',
      ),
    )
    .addOption(json('its events as one JSON object'))
    .addHelpText('after', example('loom why req_011CTea', 'the id that the transcript names'))
    .action(async (words, options) => (await import('./commands/why.ts')).explain(words, options));

  addDeadLetters(program.command('dead-letters'));

  program
    .command('schema')
    .description('print the JSON Schema of every event, or an AsyncAPI 3.0 document of the streams')
    .option('--asyncapi', 'AsyncAPI 3.0')
    .addHelpText('after', example('loom schema | jq \'."$defs"."turn.ended"\'', 'the schema of one event'))
    .action(async (options) => (await import('./commands/schema.ts')).printSchema(options));

  program
    .command('status')
    .description('show which services are there, how far they have read, and what went wrong in the last hour')
    .addOption(json('one JSON object'))
    .option('--watch', 'again every 2 s, until Ctrl-C')
    .addHelpText('after', example('loom status --watch', 'a page that keeps itself up to date'))
    .action(async (options) => (await import('./commands/status.ts')).showStatus(options));

  program
    .command('doctor')
    .description('check all that Loom needs, from Redis to the client: what, why it matters, how to mend it')
    .addOption(json('one JSON object a line'))
    .addHelpText('after', example('loom doctor', 'exit code 1 when a check fails'))
    .action(async (options) => (await import('./commands/doctor.ts')).runDoctor(options));

  return program;
}

/** A word that may be left out, and what is meant then; the command is given an empty one. */
function optional(word: string, description: string, otherwise: string): Argument {
  return new Argument(word, description).default('', otherwise);
}

function addDeadLetters(command: Command): void {
  const load = () => import('./commands/dead-letters.ts');
  command
    .description('list, show, replay and drop the entries that a service gave up on')
    .addHelpText('after', example('loom dead-letters list', 'what there is, newest first'));

  command
    .command('list')
    .description('list them, newest first: id, time, session, type, stream, group × deliveries, reason')
    .addOption(json('one JSON object a line'))
    .addHelpText('after', example('loom dead-letters list', 'what there is'))
    .action(async (options) => (await load()).listDeadLetters(options));

  command
    .command('show')
    .description('show all fields of one')
    .argument('<id>', 'as the list gives it', parseId)
    .addOption(json('one JSON object'))
    .addHelpText('after', example('loom dead-letters show 1760000000000-0', 'why, by whom, and what it says'))
    .action(async (id, options) => (await load()).showDeadLetter(id, options));

  chosen(command.command('replay'))
    .description('put them back at the end of the stream that they come from')
    .addHelpText(
      'after',
      `
Every group of that stream reads the entry again, not only the one that gave up
on it. It keeps its event id, by which each service knows what it has handled
already. A question to a rewriter is answered again, too late for its gateway,
which drops the answer.
${example('loom dead-letters replay --all', 'once the cause is mended')}`,
    )
    .action(async (ids, { all }, self) => (await load()).replayDeadLetters(choice(ids, all, self)));

  chosen(command.command('drop'))
    .description('remove them for good')
    .option('--yes', 'do not ask')
    .addHelpText('after', example('loom dead-letters drop 1760000000000-0', 'one that nobody needs'))
    .action(async (ids, { all, yes }, self) => (await load()).dropDeadLetters({ ...choice(ids, all, self), yes }));
}

/** Ids, or all: one of the two. */
function chosen(command: Command): Command {
  return command.argument('[id...]', 'as the list gives them', parseIds).option('--all', 'all that there are');
}

function choice(ids: string[] = [], all: true | undefined, self: Command): { ids: string[]; all?: true } {
  if (ids.length > 0 === (all === true)) self.error('error: expected ids, or --all');
  return all ? { ids, all } : { ids };
}

const ENVIRONMENT = `
Settings:
  REDIS_URL            where Loom's Redis is (that of make up while it runs,
                       else redis://127.0.0.1:6379)
  REDIS_USERNAME       who to be there, with REDIS_URL
  REDIS_PASSWORD_FILE  holds that user's password
  LOOM_REDIS_PORT      the port of make up's Redis (6390)
  LOOM_KEY_PREFIX      before every key (loom)
  NO_COLOR             no colours
${example('loom status --watch', 'a page that keeps itself up to date')}
`;

/** The options of the commands that go on until Ctrl-C. */
function live(command: Command): Command {
  return command
    .addOption(json('one JSON object a line'))
    .addOption(
      new Option('--since <id|duration>', 'begin after this entry id, or so long ago: 30s, 10m, 2h, 1d').argParser(
        parseSince,
      ),
    )
    .addOption(new Option('--all', 'begin at the oldest entry').implies({ since: { after: '0-0' } }));
}

function json(what: string): Option {
  return new Option('--json', `print ${what}`);
}

function parseId(text: string): string {
  if (/^\d{1,16}-\d{1,16}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected an entry id such as 1760000000000-0.');
}

function parseIds(text: string, ids: string[] = []): string[] {
  return [...ids, parseId(text)];
}

function parseSince(text: string): Since {
  const since = findSince(text);
  if (!since)
    throw new InvalidArgumentError('Expected an entry id such as 1760000000000-0, or a duration such as 10m.');
  return since;
}
