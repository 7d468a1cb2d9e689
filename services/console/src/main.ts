import { runCommand } from './run-command.ts';

// Ctrl-C is how a command that watches is ended; what it wrote is written, since a pipe and a terminal take it at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(0));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has seen enough (`loom events | head`).
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

await runCommand(process.argv.slice(2));
