import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { until } from '@loom/shared/testing/until.ts';
import { holdConversation } from './otel/conversation.ts';
import { findSession } from './otel/phoenix-api.ts';
import { checksOf } from './otel/phoenix-checks.ts';
import { run, serve } from './otel/process.ts';

const HELP = `Shows a conversation in a real Arize Phoenix, and checks by its API that nothing of it is missing or wrong: one tree a turn,
prompt and answer of the session, tokens, cost, tools with their results, subagents. Installs Phoenix from PyPI into
.tools/phoenix the first time (python3 with venv; some 500 MB).

usage: make phoenix      (or: node deploy/phoenix.ts [--stay])

  --stay   go on until Ctrl-C, to look at it in the browser
`;
const VERSION = '20.26.1';
const HOME = join(import.meta.dirname, '../.tools/phoenix');
const PROJECT = 'loom';
const READY_MS = 120_000;
const say = (line = '') => process.stdout.write(`${line}\n`);

if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}

if (!existsSync(join(HOME, 'bin/phoenix'))) {
  say(`installing Phoenix ${VERSION} into .tools/phoenix …`);
  run('python3', ['-m', 'venv', HOME]);
  run(join(HOME, 'bin/pip'), ['install', '--quiet', `arize-phoenix==${VERSION}`]);
}

const data = await mkdtemp(join(tmpdir(), 'loom-phoenix-'));
const [port, grpcPort] = [await freePort(), await freePort()];
const url = `http://127.0.0.1:${port}`;
const phoenix = serve(join(HOME, 'bin/phoenix'), ['serve'], {
  ...process.env,
  PHOENIX_WORKING_DIR: data,
  PHOENIX_HOST: '127.0.0.1',
  PHOENIX_PORT: String(port),
  PHOENIX_GRPC_PORT: String(grpcPort),
  PHOENIX_TELEMETRY_ENABLED: 'false',
});

try {
  say('starting Phoenix …');
  await until(async () => (await fetch(`${url}/healthz`)).ok, { withinMs: READY_MS }).catch((error: unknown) => {
    throw new Error(`expected Phoenix to start, got:\n${phoenix.tail()}`, { cause: error });
  });

  say('holding a conversation through the whole stack …');
  const told = await holdConversation({
    takesMetrics: false,
    endpoint: url,
    project: PROJECT,
    line: say,
    // The root comes last, and with it everything that is under it.
    isSettled: async ({ session, turns }) => {
      const traces = (await findSession(url, PROJECT, session))?.traces ?? [];
      return traces.filter(({ rootSpan }) => rootSpan?.name === `user-turn:${session}`).length === turns.length;
    },
  });

  const shown = await findSession(url, PROJECT, told.session);
  if (!shown) throw new Error(`expected the session ${told.session} in Phoenix, got none`);
  const checks = checksOf(told, shown);
  say();
  for (const { what, told: expected, shown: got } of checks) {
    const holds = isDeepStrictEqual(expected, got);
    if (!holds) process.exitCode = 1;
    say(`${holds ? 'ok   ' : 'WRONG'}  ${what.padEnd(56)} ${JSON.stringify(got)}`);
    if (!holds) say(`       ${'expected'.padStart(56)} ${JSON.stringify(expected)}`);
  }
  const spans = shown.traces.flatMap((trace) => trace.spans);
  const unknown = spans.filter(({ spanKind }) => spanKind === 'unknown').length;
  say();
  say(
    `${spans.length} spans, ${unknown} of them of the pipeline: deploy/otel/collector.yaml keeps those from Phoenix.`,
  );

  if (process.argv.includes('--stay')) {
    say(`look at ${url}, end with Ctrl-C`);
    await new Promise<void>((resolve) => process.once('SIGINT', resolve));
  }
} finally {
  await phoenix.stop();
  await rm(data, { recursive: true, force: true });
}
