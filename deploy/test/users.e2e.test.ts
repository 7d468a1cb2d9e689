import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import { PASSED_ON } from '@loom/shared/testing/passed-on.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { modelAnswer, respond, SUMMARY } from '../../services/gateway/test/e2e/model.ts';
import { ServiceProcess } from '../../services/gateway/test/e2e/service-process.ts';
import { deliver } from '../../services/gateway/test/e2e/talk.ts';
import { findServices } from '../up/services.ts';
import { startGuardedRedis } from './guarded-redis.ts';

const SERVICES = join(import.meta.dirname, '../../services');
const CONSUMERS = ['compact-rewriter', 'intro-injector', 'trace-grouper', 'transcript-watcher'];

const [redis, upstream, collector] = await Promise.all([
  startGuardedRedis(),
  startUpstream(respond),
  startOtlpReceiver(),
]);
const state = mkdtempSync(join(tmpdir(), 'loom-users-'));
const [port, adminPort] = [String(await freePort()), String(await freePort())];
const services = findServices(SERVICES).map(({ name }) => {
  const environment = {
    ...redis.environmentOf(name),
    LOOM_UPSTREAM_URL: upstream.url,
    LOOM_PORT: port,
    LOOM_ADMIN_PORT: adminPort,
    LOOM_SPOOL_DIR: join(state, 'spool'),
    LOOM_INTRO_HOLD_MS: '10000',
    LOOM_READ_MS: '1000',
    LOOM_TURN_GRACE_MS: '100',
    LOOM_WATCH_FROM: 'start',
    CLAUDE_DATA_DIR: join(state, 'claude'),
    OTEL_SERVICE_NAME: name,
    ...(name === 'trace-grouper' && { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }),
  };
  return new ServiceProcess(name, async () => environment);
});
// Those whose work in Redis outlives them.
const queueing = services.filter(({ name }) => name === 'transcript-watcher' || name === 'trace-grouper');
const [intro, ear] = [redis.client('intro'), redis.client('intro')];
const heard: string[] = [];
ear.on('message', (_, line) => heard.push(JSON.parse(line).raw.uuid));

afterAll(async () => {
  await Promise.all(services.map((service) => service.kill()));
  await Promise.all([upstream.close(), collector.close()]);
  await redis.close();
  rmSync(state, { recursive: true });
});

const claude = new ClaudeCode({
  version: '2.1.330',
  hintHeaders: true,
  hook: (prompt, session, promptId) => {
    const trace = Buffer.from(prompt.padEnd(16)).toString('hex').slice(0, 32);
    return formatMetadata({
      v: 1,
      session_id: session,
      trace_id: trace,
      traceparent: `00-${trace}-00f067aa0ba902b7-01`,
      ...(promptId !== undefined && { prompt_id: promptId }),
      prompt,
      transcript_path: transcript,
      source: 'alpha',
    });
  },
});
const project = join(state, 'claude/projects/-work-garden');
const transcript = join(project, `${claude.session}.jsonl`);
mkdirSync(project, { recursive: true });

async function send(request: ClientRequest) {
  await deliver(`http://127.0.0.1:${port}`, request);
  return modelAnswer(upstream.requests.at(-1)?.json() ?? {});
}

/** A whole turn: what Intro noticed before it, a prompt, a tool loop, the answer, and the transcript's new line. */
async function turn(prompt: string): Promise<void> {
  await intro.rpush(`intro:memorables:${claude.session}`, `noticed before ${prompt}`);
  const first = await send(claude.prompt(prompt));
  const last = await send(claude.toolResults(messageOf(first), ['Nothing new.']));
  claude.receive(messageOf(last));
  const line = { type: 'user', uuid: prompt, sessionId: claude.session, message: { role: 'user', content: prompt } };
  appendFileSync(transcript, `${JSON.stringify(line)}\n`);
}

const events = new EventReader(redis.tester);

const isReady = async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok;
const turnsEnd = (count: number) => until(async () => (await events.of('turn.ended')).length === count);
const linesCome = (count: number) => until(async () => (await events.of('transcript.line')).length === count);

const turnSpans = () => collector.spans.filter(({ service, name }) => service === 'loom' && name === 'turn');

/** What Redis has refused to anybody: command or key, and to whom. */
async function refusals(): Promise<string[]> {
  const log = (await redis.tester.call('ACL', 'LOG')) as unknown[][];
  return log.map((entry) => `${entry[entry.indexOf('object') + 1]} to ${entry[entry.indexOf('username') + 1]}`);
}

/** What the console prints, as the operator. */
function loom(...words: string[]): string {
  const env = { ...PASSED_ON, ...redis.environmentOf('operator') };
  return execFileSync(process.execPath, [join(SERVICES, 'console/src/main.ts'), ...words], { encoding: 'utf8', env });
}

describe('Loom, each service as its own user of Redis', () => {
  test('holds a conversation, over restarts, and is refused nothing', async () => {
    await Promise.all(services.map((service) => service.start()));
    await until(isReady);
    await ear.subscribe(`transcript:${claude.session}`);

    await turn('the first prompt');
    await linesCome(1);
    await turnsEnd(1);
    await Promise.all(queueing.map((service) => service.stop()));
    await Promise.all(queueing.map((service) => service.start()));
    await turn('the second prompt');
    await linesCome(2);
    await send(claude.compact({ trigger: 'manual' }));
    claude.compacted(SUMMARY);
    await turn('the third prompt');
    await linesCome(3);
    await turnsEnd(3);
    await until(() => turnSpans().length === 3);

    const outcomes = (await events.of('request.forwarded')).map(({ data }) =>
      data.edits.map(({ rewriter, outcome }) => `${rewriter} ${outcome}`),
    );
    expect(outcomes).toEqual([
      ['intro-injector applied'],
      [],
      ['intro-injector applied'],
      [],
      ['compact-rewriter applied'],
      ['compact-rewriter applied', 'intro-injector applied'],
      [],
    ]);
    expect(heard).toEqual(['the first prompt', 'the second prompt', 'the third prompt']);
    expect(await refusals()).toEqual([]);
  });

  test('buries what nobody can read, for the operator to see, bring back and drop', async () => {
    await redis.tester.xadd('loom:requests', '*', 'type', 'request.received', 'data', '{');
    await until(async () => (await redis.tester.xlen('loom:dead-letters')) === CONSUMERS.length);
    const [first = '', ...others] = (await redis.tester.xrange('loom:dead-letters', '-', '+')).map(([id]) => id);

    const status = loom('status');
    loom('dead-letters', 'replay', first);
    await until(async () => (await redis.tester.xlen('loom:dead-letters')) === 2 * CONSUMERS.length - 1);
    loom('dead-letters', 'drop', '--yes', ...others);

    expect(status).toContain(`${CONSUMERS.length} dead letters`);
    expect(await redis.tester.xlen('loom:dead-letters')).toBe(CONSUMERS.length);
    expect(await refusals()).toEqual([]);
  });

  test('leaves in good order', async () => {
    await Promise.all(services.map((service) => service.stop()));

    expect(await redis.tester.keys('loom:service:*')).toEqual([]);
    expect(await refusals()).toEqual([]);
  });
});
