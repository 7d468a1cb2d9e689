import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type ReceivedSpan, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { until } from '@loom/shared/testing/until.ts';
import { danglingParents, isForPhoenix } from '../services/trace-grouper/src/core/tree.ts';
import { holdConversation } from './otel/conversation.ts';
import { run, serve } from './otel/process.ts';

const HELP = `Builds the OpenTelemetry Collector with what deploy/otel/collector.yaml needs (Go 1.25 or newer, some minutes the first
time), validates that file with it, sends a conversation through it to two recording receivers in the place of
Logfire and Phoenix, and says what went where.

usage: make collector      (or: node deploy/collector.ts)
`;
const BUILDER = 'go.opentelemetry.io/collector/cmd/builder@v0.160.0';
const OTEL = join(import.meta.dirname, 'otel');
const HOME = join(import.meta.dirname, '../.tools/collector');
const PROGRAM = join(HOME, 'build/otelcol');
const READY_MS = 30_000;
const say = (line = '') => process.stdout.write(`${line}\n`);

if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}

if (!existsSync(PROGRAM)) {
  say('building the collector into .tools/collector …');
  await mkdir(HOME, { recursive: true });
  // One package at a time: the build must not take the machine.
  const go = { PATH: `${process.env['PATH']}${delimiter}/usr/local/go/bin`, GOFLAGS: '-buildvcs=false -p=1' };
  run('nice', ['go', 'run', BUILDER, '--config', join(OTEL, 'builder.yaml')], {
    cwd: HOME,
    env: { ...process.env, ...go },
  });
}

const storage = await mkdtemp(join(tmpdir(), 'loom-collector-'));
const [logfire, phoenix] = [await startOtlpReceiver(), await startOtlpReceiver()];
const port = await freePort();
const environment = {
  ...process.env,
  LOOM_COLLECTOR_HTTP: `127.0.0.1:${port}`,
  LOOM_COLLECTOR_GRPC: `127.0.0.1:${await freePort()}`,
  LOOM_COLLECTOR_STORAGE: storage,
  LOGFIRE_ENDPOINT: logfire.url,
  LOGFIRE_TOKEN: 'none',
  PHOENIX_ENDPOINT: phoenix.url,
  PHOENIX_API_KEY: 'none',
};
const config = ['--config', join(OTEL, 'collector.yaml')];
run(PROGRAM, ['validate', ...config], { env: environment });
say('deploy/otel/collector.yaml is valid');

const collector = serve(PROGRAM, config, environment);
const endpoint = `http://127.0.0.1:${port}`;
try {
  await until(async () => (await fetch(`${endpoint}/v1/traces`, { method: 'POST' })).status > 0, {
    withinMs: READY_MS,
  });
  say('holding a conversation through the whole stack …');
  await holdConversation({
    endpoint,
    project: 'loom',
    line: say,
    isSettled: ({ turns }) => [logfire, phoenix].every(({ spans }) => roots(spans).length === turns.length),
  });
  // They were sent at the end of each service.
  await until(() => logfire.metrics.length > 0, { withinMs: READY_MS });
  await collector.stop();
  report();
} catch (error) {
  say(collector.tail());
  throw error;
} finally {
  await Promise.all([collector.stop(), logfire.close(), phoenix.close()]);
  await rm(storage, { recursive: true, force: true });
}

function report(): void {
  const kinds = Map.groupBy(logfire.spans, ({ name, attributes }) =>
    isForPhoenix({ attributes }) ? 'both' : kindOf(name),
  );
  say();
  for (const [kind, spans] of kinds) {
    const ids = new Set(spans.map(({ spanId }) => spanId));
    const shown = phoenix.spans.filter(({ spanId }) => ids.has(spanId)).length;
    const names = kind === 'both' ? [...new Set(spans.map(({ name }) => kindOf(name)))].join(', ') : kind;
    say(`${names.padEnd(90)} Logfire ${String(spans.length).padStart(3)}, Phoenix ${String(shown).padStart(3)}`);
  }
  say(
    `${'log records'.padEnd(90)} Logfire ${String(logfire.logs.length).padStart(3)}, Phoenix ${String(phoenix.logs.length).padStart(3)}`,
  );
  say(
    `${'metrics'.padEnd(90)} Logfire ${String(namesOf(logfire.metrics)).padStart(3)}, Phoenix ${String(namesOf(phoenix.metrics)).padStart(3)}`,
  );
  const checks: [string, boolean][] = [
    [
      'Phoenix gets each span of a kind that Logfire gets, and no other',
      sameIds(phoenix.spans, logfire.spans.filter(isForPhoenix)),
    ],
    ['no span in Phoenix is under one that is not there', danglingParents(parented(phoenix.spans)).length === 0],
    ['no span in Logfire is under one that is not there', danglingParents(parented(logfire.spans)).length === 0],
    ['Phoenix gets no log records', phoenix.logs.length === 0],
    ['Logfire gets metrics, and Phoenix none', logfire.metrics.length > 0 && phoenix.metrics.length === 0],
  ];
  say();
  for (const [claim, holds] of checks) {
    if (!holds) process.exitCode = 1;
    say(`${holds ? 'ok   ' : 'WRONG'}  ${claim}`);
  }
}

/** How many there are, however often each was sent. */
function namesOf(metrics: readonly { name: string }[]): number {
  return new Set(metrics.map(({ name }) => name)).size;
}

function roots(spans: ReceivedSpan[]): ReceivedSpan[] {
  return spans.filter(({ name }) => name.startsWith('user-turn:'));
}

function kindOf(name: string): string {
  return name.replace(/^(user-turn):.*/, '$1').replace(/^(chat|execute_tool|invoke_agent) .*/, '$1');
}

function parented(spans: ReceivedSpan[]) {
  return spans.map(({ spanId, parentId }) => ({ spanId, ...(parentId && { parentSpanId: parentId }) }));
}

function sameIds(some: ReceivedSpan[], others: ReceivedSpan[]): boolean {
  return (
    new Set(some.map(({ spanId }) => spanId)).symmetricDifference(new Set(others.map(({ spanId }) => spanId))).size ===
    0
  );
}
