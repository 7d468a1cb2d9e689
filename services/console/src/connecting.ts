import { type Command, InvalidArgumentError, Option } from 'commander';
import { example } from './example.ts';

/** The commands that bring Claude Code and Loom together. */
export function addConnecting(program: Command): void {
  reaching(program.command('connect'))
    .description(
      "put Loom's gateway and prompt hook into the user's settings of Claude Code; shows the change and asks",
    )
    .addOption(settings())
    .option('--yes', 'do not ask')
    .option('--dry-run', 'show the change and leave it at that')
    .addHelpText('after', example('loom connect --profile alpha', 'every session from now on'))
    .action(async (options) => (await import('./commands/connect.ts')).connect(options));

  program
    .command('disconnect')
    .description('undo loom connect: the settings are byte for byte as they were, or keep what was edited since')
    .addOption(settings())
    .addHelpText('after', example('loom disconnect', 'sessions that run go on until they end'))
    .action(async (options) => (await import('./commands/disconnect.ts')).disconnect(options));

  forwarding(reaching(program.command('claude')))
    .description('start Claude Code by way of Loom, without a change to any file; all further words are its own')
    .argument('[args...]', 'for Claude Code')
    .option('--bin <file>', 'the program to start', 'claude')
    .addHelpText('after', example('loom claude --profile alpha --continue', 'one session as alpha'))
    .action(async (args, options, self) => {
      if (!isHelp(args)) await (await import('./commands/claude.ts')).runClaude(args, options);
      else self.help();
    });

  forwarding(program.command('up'))
    .description('run Redis and all services in the foreground, as make up does, from any folder')
    .argument('[args...]', 'for deploy/up.ts')
    .addHelpText('after', example('loom up --scale transcript-watcher=3', 'three watchers'))
    .action(async (args, _, self) => {
      if (!isHelp(args)) await (await import('./commands/up.ts')).runUp(args);
      else self.help();
    });
}

/** For a command that hands on whatever words are not its own, `--help` behind another word included. */
function forwarding(command: Command): Command {
  return command.helpOption(false).passThroughOptions().allowUnknownOption();
}

function isHelp([first]: readonly string[]): boolean {
  return first === '--help' || first === '-h';
}

/** The options that say how a client reaches Loom. */
function reaching(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'the gateway').default('http://127.0.0.1:8080').argParser(parseUrl))
    .option('--profile <name>', 'the persona that sessions get (default: none, passthrough)')
    .option('--long-context <model>', 'the model to begin with, and its window of a million tokens: opus')
    .option(
      '--secret-file <file>',
      'the file with LOOM_HOOK_SECRET, where the gateway wants signed blocks; connect makes it',
    );
}

function settings(): Option {
  return new Option('--settings <file>', 'other settings than ~/.claude/settings.json (CLAUDE_CONFIG_DIR)');
}

function parseUrl(text: string): string {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
  throw new InvalidArgumentError('Expected an address such as http://127.0.0.1:8080.');
}
