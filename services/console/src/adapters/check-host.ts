import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { z } from 'zod';
import { fail, judgeDisk, note, ok, skip, type Verdict } from '../core/checkup.ts';
import { readConnection } from '../core/settings.ts';
import { HOOK_SOURCE, hookPath } from './hook-file.ts';
import { decode, readIfThere } from './settings-file.ts';

const HOOK_NOTE_MS = 300;

/** What `/readyz` of the gateway answers. */
const Readiness = z.looseObject({ status: z.string(), reasons: z.array(z.string()), notes: z.array(z.string()) });

export function checkNode(): Verdict {
  const { features, version } = process;
  return features.typescript ? ok(version) : fail(version, 'Install Node 22.18 or later; make up fetches one');
}

/**
 * @param admin the gateway's own port, as an address
 * @param stop ends the question
 * @returns also whether a gateway answered
 */
export async function checkGateway(admin: string, stop: AbortSignal): Promise<Verdict & { isThere?: true }> {
  const address = `${admin}/readyz`;
  const answer = await fetch(address, { signal: stop }).catch(() => undefined);
  if (!answer) return fail(`nobody answers at ${address}`, 'Start it: loom up; or set LOOM_ADMIN_PORT');
  const readiness = Readiness.safeParse(await answer.json().catch(() => undefined));
  if (!readiness.success) return fail(`somebody else answers at ${address}`, 'Set LOOM_ADMIN_PORT');
  return { ...judgeReadiness(answer.ok, readiness.data), isThere: true };
}

function judgeReadiness(isReady: boolean, { status, reasons, notes }: z.infer<typeof Readiness>): Verdict {
  if (!isReady) return fail(`${status}: ${reasons.join('; ')}`, 'Start what is missing: loom up');
  return notes.length > 0 ? note(notes.join('; '), 'It mends itself with the next request') : ok(status);
}

/** Whether the settings send the client to where somebody listens. Asks no question: each would go on to the API. */
export async function checkSettings(path: string, stop: AbortSignal): Promise<Verdict> {
  const { env } = connectionIn(path);
  const url = env['ANTHROPIC_BASE_URL'];
  if (url === undefined) return note(`${path} names no gateway`, 'loom connect, or start sessions with loom claude');
  if (!URL.canParse(url)) return fail('ANTHROPIC_BASE_URL is no address', 'loom connect');
  const { host } = new URL(url);
  if (!(await listens(url, stop))) return fail(`nobody listens at ${host}`, 'loom up, or loom disconnect');
  const lacks = ['ENABLE_TOOL_SEARCH', 'CLAUDE_CODE_GATEWAY_HINT_HEADERS'].filter((name) => env[name] === undefined);
  const said = `${path} names ${host}`;
  return lacks.length === 0
    ? ok(said)
    : note(
        `${said}, and lacks ${lacks.join(' and ')}: tools are sent whole, or a request's kind is not told`,
        'loom connect',
      );
}

/** Runs the hook as the client would, but for a sample. */
export async function checkHook(settings: string, environment: NodeJS.ProcessEnv, stop: AbortSignal): Promise<Verdict> {
  const { env, commands } = connectionIn(settings);
  const [command] = commands;
  const file = hookPath(environment);
  const line = command ?? `"${process.execPath}" "${HOOK_SOURCE}"`;
  const begun = performance.now();
  const child = spawn('/bin/sh', ['-c', `exec ${line} --check`], {
    env: { ...environment, ...env },
    stdio: 'ignore',
    signal: stop,
  });
  const [code] = await once(child, 'exit').catch(() => [null]);
  const said = `${command === undefined ? 'not connected; this copy' : 'it'} ran in ${Math.round(performance.now() - begun)} ms`;
  if (code !== 0) return fail(`${line} --check failed`, 'Run it by hand; loom connect copies the hook anew');
  const isOld = command?.includes(file) && !readIfThere(file)?.equals(readIfThere(HOOK_SOURCE) ?? Buffer.alloc(0));
  if (isOld) return note(`${said}, but is another version than this`, 'loom connect copies it anew');
  return performance.now() - begun > HOOK_NOTE_MS
    ? note(said, 'Every prompt waits for it: is this machine busy?')
    : ok(said);
}

export async function checkCollector(endpoint: string | undefined, stop: AbortSignal): Promise<Verdict> {
  if (endpoint === undefined) return skip('OTEL_EXPORTER_OTLP_ENDPOINT is not set here, so spans go nowhere');
  const { host } = new URL(endpoint);
  return (await listens(endpoint, stop))
    ? ok(host)
    : fail(`nobody listens at ${host}`, 'Start it: deploy/otel/README.md');
}

/** Whether the gateway's port is the gateway's. */
export async function checkPort(url: string, isGatewayThere: boolean, stop: AbortSignal): Promise<Verdict> {
  const { port } = new URL(url);
  const isTaken = await listens(url, stop);
  if (isTaken === isGatewayThere) return ok(isTaken ? `${port} is the gateway's` : `${port} is free`);
  if (isTaken)
    return fail(`${port} is taken by another program`, `ss -ltnp 'sport = :${port}' names it; or set LOOM_PORT`);
  return fail(`the gateway runs, but nobody listens at ${port}`, 'Set LOOM_PORT as the gateway has it');
}

/** @param folder of the spool, which may not be there yet */
export async function checkDisk(folder: string): Promise<Verdict> {
  let there = folder;
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize } = await statfs(there);
  return judgeDisk(bavail * bsize);
}

function connectionIn(path: string) {
  const bytes = readIfThere(path);
  return readConnection(bytes ? decode(bytes, path) : '');
}

async function listens(url: string, stop: AbortSignal): Promise<boolean> {
  const { hostname, port, protocol } = new URL(url);
  const socket = connect({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
  });
  return once(socket, 'connect', { signal: stop })
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}
