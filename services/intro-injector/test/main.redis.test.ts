import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type DataOf, decodeEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import { Streams } from '@loom/shared/streams.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { until } from '@loom/shared/testing/until.ts';

const server = await startRedis();
const redis = server.client();
const log = createLog({ service: 'test', level: 'error' });
const gateway = new Streams({ url: server.url, prefix: 't', source: '/loom/gateway/g1', log });
const running = new Set<ChildProcess>();
const folder = fileURLToPath(new URL('..', import.meta.url));

function run(...args: string[]): ChildProcess {
  const env = { ...process.env, NODE_OPTIONS: '', REDIS_URL: server.url, LOOM_KEY_PREFIX: 't' };
  const command = ['--import', '@loom/shared/instrument.ts', 'src/main.ts', ...args];
  const child = spawn(process.execPath, command, { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function start(): Promise<ChildProcess> {
  const child = run();
  child.stdout?.resume();
  await until(() => redis.exists('t:rewriter:intro-injector'));
  return child;
}

async function stop(child: ChildProcess): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  return (await exited)[0];
}

const session = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';
const anchor = (name: string) => name.repeat(64);
const exchange = { gateway: 'g1', class: 'main', profile: 'alpha', model: null } as const;

/** Asks as a gateway does, and waits for the answer. */
async function ask(requestId: string, name: string): Promise<DataOf<'edits.proposed'>> {
  const last = {
    pointer: '/messages/0',
    role: 'user',
    anchor: anchor(name),
    content: [{ type: 'text', text: 'hello' }],
  };
  const data = {
    ...exchange,
    requestId,
    replyStream: gateway.key('edits:g1'),
    awaited: [{ rewriter: 'intro-injector', holdMs: 10_000, labels: ['human'] }],
    path: '/v1/messages',
    stream: true,
    body: { bytes: 100, messages: 1, tools: 0, sha256: '0'.repeat(64) },
    view: { last },
  };
  await gateway.publish({ type: 'request.received', subject: session, data }, contextOf());
  const answer = await until(async () => {
    const entries = await redis.xrange(gateway.key('edits:g1'), '-', '+');
    const answers = entries.map(([, fields]) => decodeEvent(fields).data as DataOf<'edits.proposed'>);
    return answers.find((proposed) => proposed.requestId === requestId);
  });
  return answer as DataOf<'edits.proposed'>;
}

const texts = ({ edits }: DataOf<'edits.proposed'>) => edits.map((edit) => 'value' in edit && edit.value);
const block = (item: string) => ({
  type: 'text',
  text: `<subvox>\nIntro surfaced these moments. Store what lands, let the rest go:\n- ${item}\n</subvox>`,
});

beforeEach(async () => {
  await until(() => gateway.connected);
  await redis.flushall();
});

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  gateway.close();
  await server.close();
});

describe('the service', () => {
  test('announces what it wants', async () => {
    const child = await start();

    expect(JSON.parse((await redis.hget('t:rewriters', 'intro-injector')) ?? '')).toEqual({
      name: 'intro-injector',
      order: 20,
      holdMs: 150,
      whenAbsent: 'forward',
      profiles: ['*'],
      wants: [{ on: 'human' }],
      view: ['last'],
    });
    expect(await stop(child)).toBe(0);
  });

  test('answers over the streams, gives back what was bypassed, and remembers over a restart', async () => {
    await redis.rpush(`intro:memorables:${session}`, 'tea');
    const before = await start();
    const proposed = await ask('r1', 'a');
    const repeated = await ask('r2', 'a');
    const edits = [{ rewriter: 'intro-injector', outcome: 'late', operations: 0, waitedMs: 150 } as const];
    const counts = { bytesIn: 100, bytesOut: 100, metadataBlocks: 0, replayed: 0, heldMs: 150 };
    const data = { ...exchange, ...counts, requestId: 'r2', edits, anchor: anchor('a') };
    await gateway.publish({ type: 'request.forwarded', subject: session, data }, contextOf());
    // An item's own field is gone as soon as it is free again.
    await until(async () => (await redis.hkeys(`t:injected:${session}`)).every((field) => field.includes(':')));
    const again = await ask('r3', 'b');
    await stop(before);
    await start();
    const spent = await ask('r4', 'c');

    expect(texts(proposed)).toEqual([block('tea')]);
    expect(texts(repeated)).toEqual([block('tea')]);
    expect(texts(again)).toEqual([block('tea')]);
    expect(spent.edits).toEqual([]);
    expect(spent.bodySha256).toBe('0'.repeat(64));
  });

  test('prints its settings for --help and ends', async () => {
    const child = run('--help');
    const printed: string[] = [];
    child.stdout?.setEncoding('utf8').on('data', (text: string) => printed.push(text));
    const [code] = await once(child, 'close');

    expect(code).toBe(0);
    expect(printed.join('')).toContain('LOOM_INTRO_BUDGET_TOKENS');
  });
});
