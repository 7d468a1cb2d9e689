import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { decodeEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { RewriterDeclaration } from '@loom/shared/rewriter.ts';
import { Streams } from '@loom/shared/streams.ts';
import { instruction } from '@loom/shared/testing/claude-code/compaction.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { USAGE } from '../src/config.ts';
import { last, received } from './shown.ts';

const ALPHA = fileURLToPath(new URL('../../../deploy/prompts/alpha', import.meta.url));
const prompts = await mkdtemp(join(tmpdir(), 'loom-prompts-'));
await cp(ALPHA, join(prompts, 'alpha'), { recursive: true });

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
const gateway = new Streams({ url: server.url, prefix: 't', source: '/loom/gateway/g1', log });
const running = new Set<ChildProcess>();

function run(environment: Record<string, string> = {}, ...args: string[]) {
  const own = { REDIS_URL: server.url, LOOM_KEY_PREFIX: 't', LOOM_PROMPTS_DIR: prompts, LOOM_HUMAN: 'Sam' };
  const child = spawn(process.execPath, ['--import', '@loom/shared/instrument.ts', 'src/main.ts', ...args], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', ...own, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  gateway.close();
  await server.close();
  await rm(prompts, { recursive: true, force: true });
});

const declared = async () => {
  const value = await redis.hget('t:rewriters', 'compact-rewriter');
  return value === null ? undefined : RewriterDeclaration.parse(JSON.parse(value));
};
const published = async (stream: string) =>
  (await redis.xrange(`t:${stream}`, '-', '+')).map(([, fields]) => decodeEvent(fields).data);

describe('compact-rewriter, as a process', () => {
  test('announces itself, answers a compaction, alarms, announces a new profile, and drains', async () => {
    const child = run();
    child.stdout.resume();
    child.stderr.resume();
    await until(() => redis.exists('t:rewriter:compact-rewriter'));

    expect(await declared()).toMatchObject({
      name: 'compact-rewriter',
      order: 10,
      holdMs: 10_000,
      whenAbsent: 'wait',
      profiles: ['alpha'],
      view: ['last', 'matched'],
    });

    const ask = (requestId: string, words: string) => {
      const { data, subject } = received({
        requestId,
        class: 'compaction',
        replyStream: 't:edits:g1',
        view: last(words),
      });
      return gateway.publish({ type: 'request.received', subject, data }, ROOT_CONTEXT);
    };
    await ask('r1', instruction('2.1.330', 'the tea'));
    await ask('r2', 'Sum it all up.');
    await until(async () => (await redis.xlen('t:edits:g1')) === 2);

    const bodySha256 = 'a'.repeat(64);
    const signed = { rewriter: 'compact-rewriter', replica: expect.stringMatching(/^compact-rewriter-/), bodySha256 };
    const value = expect.stringMatching(/^I am Alpha\. I work with Sam,[\s\S]*Sam asked me to mind this.*\nthe tea\n/);
    const edit = { op: 'replace', path: '/messages/4/content/0/text', value };
    const answers = (await published('edits:g1')) as { requestId: string }[];
    expect(answers.sort((a, b) => a.requestId.localeCompare(b.requestId))).toEqual([
      { requestId: 'r1', ...signed, edits: [edit] },
      { requestId: 'r2', ...signed, edits: [] },
    ]);
    expect(await published('alerts')).toEqual([
      {
        requestId: 'r2',
        reason: 'no signature knows the instruction of this compaction',
        opening: 'Sum it all up.',
      },
    ]);
    expect(JSON.parse((await redis.get('t:compaction:s1')) ?? '{}')).toMatchObject({ profile: 'alpha' });

    await mkdir(join(prompts, 'iota'));
    await cp(ALPHA, join(prompts, 'iota'), { recursive: true });
    await until(async () => (await declared())?.profiles.join() === 'alpha,iota');

    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  test('does not start without a prompt that a profile needs, and says which', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'loom-prompts-'));
    await mkdir(join(empty, 'alpha'));

    const child = run({ LOOM_PROMPTS_DIR: empty });
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    await rm(empty, { recursive: true });

    expect(code).toBe(1);
    expect(said).toBe('compact-rewriter: alpha/identity.md is missing: expected a prompt\n');
  });

  test('explains itself', async () => {
    expect(await text(run({}, '--help').stdout)).toBe(USAGE);
  });
});
