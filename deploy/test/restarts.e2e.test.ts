import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { connectRedis } from '@loom/shared/connection.ts';
import { decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { alphaRequest } from '../../services/gateway/test/alpha.ts';
import { findServices } from '../up/services.ts';
import { Ground } from './running-stack.ts';

const SERVICES = join(import.meta.dirname, '../../services');
const CALLERS = 4;

const ground = await Ground.open();
// Slow enough that answers are under way when the gateway is told to end, and that the stream keeps all events.
const upstream = await startUpstream(answer({ text: 'All is well. '.repeat(10), delayMs: 5 }));
const { LOOM_PORT, LOOM_ADMIN_PORT, LOOM_REDIS_PORT } = ground.environment;
const redis = connectRedis(`redis://127.0.0.1:${LOOM_REDIS_PORT}`, 'patient');
// It is there as soon as the stack is.
redis.on('error', () => {});
afterAll(async () => {
  redis.disconnect();
  await ground.close();
  await upstream.close();
});

/** The upstream's ids of the answers that a client got. */
const answered: string[] = [];
/** What a client got instead, and which service was down then. */
const failures: { down: string; error: unknown }[] = [];
let down = 'none';

/** Sends a request as the real client does: again, when there was no answer. */
async function ask(session: string): Promise<void> {
  const request = alphaRequest(session, 'Tell me.', { stream: true });
  await until(async () => {
    try {
      const url = `http://127.0.0.1:${LOOM_PORT}/v1/messages`;
      const response = await fetch(url, { method: 'POST', ...request });
      const text = await response.text();
      if (!text.includes('message_stop')) throw new Error(`expected a whole answer, got ${response.status}: ${text}`);
      return answered.push(response.headers.get('request-id') as string);
    } catch (error) {
      failures.push({ down, error });
      return 0;
    }
  });
}

const isReady = async () => (await fetch(`http://127.0.0.1:${LOOM_ADMIN_PORT}/readyz`)).ok;

/** SIGTERM to a service of the stack; resolves when it was started again and the stack is as before. */
async function restart(name: string): Promise<void> {
  const old = ground.find(name)?.pid as number;
  down = name;
  process.kill(old, 'SIGTERM');
  await until(() => ![undefined, old].includes(ground.find(name)?.pid));
  await until(isReady);
  down = 'none';
}

async function published(type: LoomEvent['type']): Promise<string[]> {
  const entries = (await redis.xrange('loom:responses', '-', '+')).map(([, fields]) => decodeEvent(fields));
  const once = new Map(entries.map((event) => [event.id, event]));
  return [...once.values()].flatMap((event) =>
    event.type === type && 'upstreamRequestId' in event.data ? [String(event.data.upstreamRequestId)] : [],
  );
}

describe('the services of make up', () => {
  test('are restarted one by one under load: every request is answered, and no event is lost or doubled', async () => {
    const environment = { LOOM_UPSTREAM_URL: upstream.url, CLAUDE_DATA_DIR: ground.state };
    const up = ground.up(environment, SERVICES);
    await until(() => up.lines().some((line) => line.includes('Each turn is one line here')));

    let isOver = false;
    const callers = Array.from({ length: CALLERS }, async (_, caller) => {
      for (let serial = 0; !isOver; serial++) await ask(`caller-${caller}-${serial}`);
    });
    for (const { name } of findServices(SERVICES)) await restart(name);
    isOver = true;
    await Promise.all(callers);

    expect(failures.filter((failure) => failure.down !== 'gateway')).toEqual([]);
    await until(async () => (await published('response.completed')).length >= answered.length);
    expect((await published('response.completed')).sort()).toEqual(answered.sort());
  });
});
