import { type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';

/** A container engine that works here, and a compose that speaks to it. */
export interface Engine {
  name: 'docker' | 'podman';
  compose: string[];
}

/** There is none; the message says what was looked for. */
export class NoEngineError extends Error {
  override name = 'NoEngineError';
}

/** Finds docker or podman, with a daemon that answers, and its compose. */
export function findEngine(): Engine {
  const name = (['docker', 'podman'] as const).find((candidate) => works(candidate, 'info'));
  if (!name) throw new NoEngineError('no container engine is at hand: neither docker info nor podman info succeeds');
  const compose = [[name, 'compose'], ['docker-compose']].find(isCompose);
  if (!compose)
    throw new NoEngineError(`${name} works, but neither ${name} compose nor docker-compose is a Docker Compose 2`);
  return { name, compose };
}

/** The first one, which Debian 12 still has, and podman-compose do not read the file. */
function isCompose([command = '', ...words]: string[]): boolean {
  const { stdout } = spawnSync(command, [...words, 'version', '--short'], { encoding: 'utf8' });
  return /^v?([2-9]|\d\d)\./.test(stdout ?? '');
}

function works(command: string, ...words: string[]): boolean {
  return spawnSync(command, words, { stdio: 'ignore' }).status === 0;
}

/** Runs a program to its end and returns what it writes to stdout; throws, with the end of stderr, unless it exits 0. */
export async function run(command: string[], options: SpawnOptions = {}): Promise<string> {
  const [program = '', ...words] = command;
  const child = spawn(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      written[name] += text;
    });
  const [code] = await once(child, 'close');
  if (code !== 0)
    throw new Error(`expected ${command.join(' ')} to succeed, got ${code}: ${written.stderr.slice(-2_000)}`);
  return written.stdout;
}
