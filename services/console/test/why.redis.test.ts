import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { explainExchange } from '../src/core/why.ts';
import { openBus } from './bus.ts';
import {
  draft,
  editsProposed,
  event,
  plainScreen,
  requestForwarded,
  requestReceived,
  responseCompleted,
  SESSION,
} from './events.ts';
import { killAll, runHere } from './loom.ts';

const bus = await openBus();
beforeEach(async () => {
  await bus.redis.flushall();
});
afterAll(async () => {
  killAll();
  await bus.close();
});

const received = event('request.received', requestReceived());
const forwarded = event('request.forwarded', requestForwarded());
const response = event('response.completed', responseCompleted());
const answer = event('edits.proposed', editsProposed());
const lost = event('identity.lost', {
  requestId: 'r1',
  rewriter: 'compact-rewriter',
  labels: [],
  waitedMs: 1,
  reason: 'absent',
});

/** Holds the id, and is of another exchange. */
const decoy = event('request.forwarded', requestForwarded({ requestId: 'o', model: 'r1' }), '77770000-1');

/** One exchange on its streams, and more than a page of another session's behind it. */
async function publishExchange(): Promise<void> {
  await bus.publish(
    draft(decoy),
    draft(received),
    { ...draft(answer), stream: 't:edits:g1' },
    draft(forwarded),
    draft(lost),
  );
  await bus.publish(draft(response));
  const others = Array.from({ length: 250 }, (_, at) =>
    draft(event('request.forwarded', requestForwarded({ requestId: `o${at}` }), '77770000-1')),
  );
  await Promise.all(others.map((other) => bus.publish(other)));
}

const why = (...words: string[]) => runHere(['why', ...words], bus.environment);
/** Without the time, which Redis and the publisher give. */
const timeless = (lines: string[]) => lines.map((line) => line.replace(/^\d\d:\d\d:\d\d /, ''));

describe('loom why', () => {
  test('explains a request by its own id, by that of the API, and as the newest of its session', async () => {
    await publishExchange();

    const answers = [await why('r1'), await why('req_1'), await why('3f2a')];

    const events = { requestId: 'r1', received, forwarded, response, proposed: [answer], alerts: [lost] };
    const lines = timeless(explainExchange(events, 't', plainScreen(80)));
    expect(answers.map(({ code, lines: shown }) => [code, timeless(shown)])).toEqual(answers.map(() => [0, lines]));
  });

  test('explains the newest request of all, and says what of it was trimmed away', async () => {
    await publishExchange();

    const { lines } = await why();

    expect([lines[0]?.slice(9), lines[1]]).toEqual([
      '77770000 · main · alpha · claude-opus-4-6 · o249',
      'what was asked is gone: t:requests keeps about 2000 entries',
    ]);
  });

  test('prints the events as JSON', async () => {
    await publishExchange();

    const { lines } = await why('r1', '--json');

    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      {
        requestId: 'r1',
        received: { subject: SESSION, data: received.data },
        forwarded: { data: forwarded.data },
        response: { data: response.data },
        proposed: [{ data: answer.data }],
        alerts: [{ data: lost.data }],
      },
    ]);
  });

  test('says so when there is none', async () => {
    expect((await why()).stderr).toBe('loom: no request has come yet\n');
    expect(await why('r9')).toEqual({
      code: 1,
      lines: [],
      stderr: 'loom: no request that is still known has the id r9, or a session that begins so\n',
    });
  });
});
