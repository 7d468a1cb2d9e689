import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** Runs a command to its end, its output on ours; throws when it fails. */
export function run(command: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (error) throw new Error(`expected ${command} on the PATH`, { cause: error });
  if (status !== 0) throw new Error(`expected ${command} ${args[0]} to succeed, got exit code ${status}`);
}

export interface Server {
  /** The last lines that it wrote. */
  tail(): string;
  stop(): Promise<void>;
}

const MAX_TAIL = 4_000;

/** Starts a program that goes on until it is stopped. */
export function serve(command: string, args: string[], env: NodeJS.ProcessEnv): Server {
  const child: ChildProcess = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  let written = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      written = (written + chunk.toString()).slice(-MAX_TAIL);
    });
  return {
    tail: () => written,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
