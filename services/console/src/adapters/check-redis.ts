import { TurnSummary } from '@loom/shared/turn-summary.ts';
import type { Redis } from 'ioredis';
import {
  fail,
  judgeClock,
  judgeLag,
  judgeRedis,
  judgeServices,
  judgeTrace,
  note,
  ok,
  type TraceSight,
  type Verdict,
} from '../core/checkup.ts';
import { findEvent, parsedOr } from '../core/entry.ts';
import { readClock } from './clock.ts';
import { readStatus } from './read-status.ts';

/** How many of the newest events are looked through for those of a session. */
const LOOK_BACK = 500;

/** What Redis says of itself. */
export async function checkRedis(redis: Redis): Promise<ReturnType<typeof judgeRedis>> {
  const fields = (await redis.info()).split('\r\n').map((line) => line.split(':') as [string, string]);
  return judgeRedis(Object.fromEntries(fields));
}

/** How far the clocks are apart, by the middle of the question's way. */
export async function checkClock(redis: Redis): Promise<Verdict> {
  const asked = Date.now();
  const theirs = await readClock(redis);
  return judgeClock(theirs - (asked + Date.now()) / 2);
}

/** What Redis says of the services. */
export async function checkServices(redis: Redis, prefix: string, expected: readonly string[]) {
  const status = await readStatus(redis, prefix);
  const groups = status.streams.flatMap(({ name, groups: own }) =>
    own.map((group) => ({ group: `${group.name} on ${name}`, oldestUnreadMs: group.oldestUnreadMs })),
  );
  const { deadLetters, alerts } = status;
  const said = alerts.map(({ type, detail, count }) => `${type}${detail && ` ${detail}`} ×${count}`).join(', ');
  const isLost = alerts.some(({ type }) => type === 'identity.lost');
  return {
    services: judgeServices(
      expected,
      status.replicas.map(({ service }) => service),
    ),
    lag: judgeLag(groups),
    deadLetters: deadLetters === 0 ? ok('none') : note(String(deadLetters), 'loom dead-letters list says why'),
    alerts: alerts.length === 0 ? ok('none') : (isLost ? fail : note)(said, 'loom why <request-id> explains one'),
  };
}

/** Whether the newest turn and the gateway's events of its session name the same trace. */
export async function checkTrace(redis: Redis, prefix: string): Promise<Verdict> {
  const [session] = (await redis.zrange(
    `${prefix}:last-turns`,
    '+inf',
    '-inf',
    'BYSCORE',
    'REV',
    'LIMIT',
    0,
    1,
  )) as string[];
  const summary =
    session === undefined
      ? undefined
      : TurnSummary.safeParse(parsedOr((await redis.get(`${prefix}:last-turn:${session}`)) ?? ''));
  if (!summary?.success) return judgeTrace(undefined);
  const key = `${prefix}:responses`;
  const entries = await redis.xrevrange(key, '+', '-', 'COUNT', LOOK_BACK);
  const traces = entries.flatMap(([id, fields]) => {
    const event = findEvent({ key, id, fields });
    if (event?.type !== 'request.forwarded' || event.subject !== session) return [];
    return event.data.trace?.traceId ?? [];
  });
  const { traceId: turn, origin } = summary.data.turn;
  return judgeTrace({ turn, origin, gateway: [...new Set(traces)] } satisfies TraceSight);
}
