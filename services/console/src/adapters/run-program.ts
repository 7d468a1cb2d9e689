import { spawn } from 'node:child_process';
import { once } from 'node:events';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs another program in this one's place: in the same terminal, with signals passed on, and ends as it ends, by the
 * same exit code or the same signal.
 *
 * Not `process.execve`: it hands on the pipes of this process as it has set them, non-blocking, and SIGPIPE ignored.
 */
export async function runProgram(file: string, words: readonly string[], environment: NodeJS.ProcessEnv) {
  const child = spawn(file, words, { env: environment, stdio: 'inherit' });
  for (const signal of SIGNALS) {
    process.removeAllListeners(signal).on(signal, () => {
      // Ctrl-C reaches the child by itself; a second time it would be taken for impatience.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  process.exitCode = code ?? 1;
  if (!signal) return;
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
