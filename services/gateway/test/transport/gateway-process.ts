import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { until } from '@loom/shared/testing/until.ts';

const FOLDER = fileURLToPath(new URL('../..', import.meta.url));

/** The gateway as a process of its own, on a free port, and all that it writes. */
export async function startGatewayProcess(environment: Record<string, string>) {
  const child = spawn(process.execPath, ['--import', '@loom/shared/instrument.ts', 'src/main.ts'], {
    cwd: FOLDER,
    env: { ...PASSED_ON, LOOM_PORT: '0', LOOM_ADMIN_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      written[name] += text;
    });
  const exited = once(child, 'exit');
  const port = await until(() => {
    if (child.exitCode !== null) throw new Error(written.stderr);
    return /"message":"listening".*?"port":(\d+)/.exec(written.stdout)?.[1];
  });
  return {
    pid: child.pid as number,
    url: `http://127.0.0.1:${port}`,
    written,
    /** SIGTERM; the exit code. */
    async stop(): Promise<number | null> {
      child.kill('SIGTERM');
      return (await exited)[0];
    },
  };
}
