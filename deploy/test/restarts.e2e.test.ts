import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { connectRedis } from '@loom/shared/connection.ts';
import type { EventType, LoomEvent } from '@loom/shared/event.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
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
const events = new EventReader(redis);
// It is there as soon as the stack is.
redis.on('error', () => {});
afterAll(async () => {
  redis.disconnect();
  await ground.close();
  await upstream.close();
});

/** The upstream's ids of the answers that a client got. */
const answered: string[] = [];
/** What a client got instead, and which services were down when it asked and when it heard of it. */
const failures: { down: string[]; error: unknown }[] = [];
let down = 'none';

/** Sends a request as the real client does: again, when there was no answer. */
async function ask(session: string): Promise<void> {
  const request = alphaRequest(session, 'Tell me.', { stream: true });
  await until(async () => {
    const downAtFirst = down;
    try {
      const url = `http://127.0.0.1:${LOOM_PORT}/v1/messages`;
      const response = await fetch(url, { method: 'POST', ...request });
      const text = await response.text();
      if (!text.includes('message_stop')) throw new Error(`expected a whole answer, got ${response.status}: ${text}`);
      return answered.push(response.headers.get('request-id') as string);
    } catch (error) {
      failures.push({ down: [downAtFirst, down], error });
      return 0;
    }
  });
}

/** The transcripts' lines, by uuid; each caller has a session of its own that is watched. */
const written: string[] = [];
const project = join(ground.state, 'projects/-work');
mkdirSync(project, { recursive: true });

function writeLine(session: string): void {
  const uuid = randomUUID();
  written.push(uuid);
  const line = { type: 'user', uuid, sessionId: session, message: { role: 'user', content: 'Tell me.' } };
  appendFileSync(join(project, `${session}.jsonl`), `${JSON.stringify(line)}\n`);
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

/** The events of a type; one that came twice counts once. */
async function published<Type extends EventType>(type: Type): Promise<LoomEvent<Type>[]> {
  return [...new Map((await events.of(type)).map((event) => [event.id, event])).values()];
}

const relayed = async () => (await published('response.completed')).map(({ data }) => String(data.upstreamRequestId));
const heard = async () => (await published('transcript.line')).map(({ data }) => String(data.uuid));
const ended = async () => [...new Set((await published('turn.ended')).map(({ subject }) => subject))];

/** What there is, in order, once there is all of it; rejects with what is missing. */
function whole(read: () => Promise<string[]>, expected: string[]): Promise<string[]> {
  return until(async () => {
    const come = new Set(await read());
    const missing = expected.filter((each) => !come.has(each));
    if (missing.length > 0) throw new Error(`${come.size} of ${expected.length}, without ${missing}`);
    return (await read()).sort();
  });
}

describe('the services of make up', () => {
  test('are restarted one by one under load: no answer, event, line or turn is lost or doubled', async () => {
    const environment = {
      LOOM_UPSTREAM_URL: upstream.url,
      CLAUDE_DATA_DIR: ground.state,
      LOOM_WATCH_FROM: 'start',
      LOOM_TURN_GRACE_MS: '100',
    };
    const up = ground.up(environment, SERVICES);
    await until(() => up.lines().some((line) => line.includes('Each turn is one line here')));

    let isOver = false;
    const sessions: string[] = [];
    const callers = Array.from({ length: CALLERS }, async () => {
      const watched = randomUUID();
      for (let session: string = watched; !isOver; session = randomUUID()) {
        writeLine(watched);
        await ask(session);
        sessions.push(session);
      }
    });
    for (const { name } of findServices(SERVICES)) await restart(name);
    isOver = true;
    await Promise.all(callers);

    expect(failures.filter((failure) => !failure.down.includes('gateway'))).toEqual([]);
    expect(await whole(relayed, answered)).toEqual(answered.sort());
    expect(await whole(heard, written)).toEqual(written.sort());
    expect(await whole(ended, sessions)).toEqual(sessions.sort());
  });
});
