import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { until } from '@loom/shared/testing/until.ts';
import { openBus } from './bus.ts';
import { draft, event, responseCompleted, SESSION, transcriptLine, turnEnded } from './events.ts';
import { killAll, run, start, watch } from './loom.ts';

const bus = await openBus();
beforeEach(async () => {
  await bus.redis.flushall();
});
afterAll(async () => {
  killAll();
  await bus.close();
});

const line = (text: string, subject = SESSION) => draft(event('transcript.line', transcriptLine({ text }), subject));
const proposed = {
  requestId: 'r1',
  rewriter: 'intro-injector',
  replica: 'i1',
  bodySha256: '0'.repeat(64),
  edits: [],
};

/** Starts a command that watches, and waits until it reads what is published from then on. */
async function startWatching(...words: string[]) {
  const blocked = async () => (await bus.redis.client('LIST')) as string;
  const before = [...(await blocked()).matchAll(/cmd=xread/g)].length;
  const loom = start(words, bus.environment);
  await until(async () => [...(await blocked()).matchAll(/cmd=xread/g)].length > before);
  return loom;
}

describe('loom transcripts', () => {
  test('shows what is published from now on, of the sessions that begin with the prefix, until Ctrl-C', async () => {
    await bus.publish(line('before'));
    const loom = await startWatching('transcripts', '3f2a');

    await bus.publish(line('one'), line('of another session', '77770000-1'), line('two'));

    expect(await watch(loom, 2)).toEqual({
      code: 0,
      lines: ['→ 3f2a91c0 user/user (text) one', '→ 3f2a91c0 user/user (text) two'],
    });
    expect(loom.stderr()).toBe('');
  });

  test('begins at the oldest entry with --all, and after an entry with --since', async () => {
    await bus.publish(line('one'), line('two'));
    const [first] = await bus.redis.xrange('t:transcripts', '-', '+', 'COUNT', 1);

    const all = await watch(start(['transcripts', '--all'], bus.environment), 2);
    const since = await watch(start(['transcripts', '--since', String(first?.[0])], bus.environment), 1);
    const ago = await watch(start(['transcripts', '--since', '1h'], bus.environment), 2);

    expect(all.lines).toEqual(['→ 3f2a91c0 user/user (text) one', '→ 3f2a91c0 user/user (text) two']);
    expect(since.lines).toEqual(['→ 3f2a91c0 user/user (text) two']);
    expect(ago.lines).toEqual(all.lines);
  });

  test('prints the whole event as JSON', async () => {
    await bus.publish(line('\u001b[2Jone'));

    const { lines } = await watch(start(['transcripts', '--all', '--json'], bus.environment), 1);

    const [[entry, fields]] = (await bus.redis.xrange('t:transcripts', '-', '+')) as [[string, string[]]];
    expect(lines.map((text) => JSON.parse(text))).toEqual([
      {
        stream: 't:transcripts',
        entry,
        ...event('transcript.line', transcriptLine({ text: '\u001b[2Jone' })),
        ...Object.fromEntries(
          ['specversion', 'id', 'time', 'traceparent', 'datacontenttype'].map((name) => [
            name,
            fields[fields.indexOf(name) + 1],
          ]),
        ),
      },
    ]);
  });

  test('is as wide as COLUMNS says, and 80 cells otherwise', async () => {
    await bus.publish(line('x'.repeat(200)));

    const { lines } = await watch(start(['transcripts', '--all'], bus.environment), 1);
    const narrow = await watch(start(['transcripts', '--all'], { ...bus.environment, COLUMNS: '40' }), 1);

    expect([lines[0]?.length, narrow.lines[0]?.length]).toEqual([80, 40]);
  });
});

describe('loom events', () => {
  test('shows all streams in order, and an edit stream that appears later', async () => {
    await bus.publish(draft(event('response.completed', responseCompleted())), line('one'));
    await bus.publish(draft(event('spool.full', { gateway: 'g1', dropped: 1 })));
    const loom = start(['events', '--all'], bus.environment);
    await until(() => loom.lines().length === 3);

    await bus.publish({ ...draft(event('edits.proposed', proposed)), stream: 't:edits:g2' });

    const { lines } = await watch(loom, 4);
    expect(lines.map((text) => text.slice(9, 27).trim())).toEqual([
      'response.completed',
      'transcript.line',
      'spool.full',
      'edits.proposed',
    ]);
  });

  test('shows one stream alone, more entries than one read gives', async () => {
    const lines = Array.from({ length: 250 }, (_, at) => line(`line ${at}`));
    await Promise.all(lines.map((one) => bus.publish(one)));
    await bus.publish(draft(event('response.completed', responseCompleted())));

    const shown = await watch(start(['events', 'transcripts', '--all'], bus.environment), 250);

    expect(shown.lines.map((text) => text.split(' ').at(-1)).toSorted()).toEqual(
      lines.map((_, at) => `${at}`).toSorted(),
    );
  });

  test('waits for the edit streams of gateways that are not there yet', async () => {
    const loom = start(['events', 'edits'], bus.environment);
    await until(async () => ((await bus.redis.client('LIST')) as string).includes('cmd=scan'));

    await bus.publish({ ...draft(event('edits.proposed', proposed)), stream: 't:edits:g2' });

    const { lines } = await watch(loom, 1);
    expect(lines.map((text) => text.slice(9))).toEqual(['edits.proposed     3f2a91c0 intro-injector · 0 edits']);
  });

  test('names the streams when there is none of that name', async () => {
    expect(await run(['events', 'tea'], bus.environment)).toEqual({
      code: 1,
      lines: [],
      stderr:
        'loom: there is no stream tea; the streams are requests, edits, responses, captures, transcripts, turns, alerts, dead-letters, edits:<gateway>\n',
    });
  });

  test('ends quietly when the reader of the pipe has seen enough', async () => {
    await bus.publish(line('one'), line('two'));
    const loom = start(['events', '--all'], bus.environment);
    await until(() => loom.lines().length === 2);

    loom.child.stdout?.destroy();
    await bus.publish(line('three'));

    expect([await loom.exited, loom.stderr()]).toEqual([0, '']);
  });
});

describe('loom tail', () => {
  const started = draft(event('turn.started', turnEnded()));
  const ended = draft(event('turn.ended', turnEnded()));

  test('shows turns that end, and with --started those that begin', async () => {
    await bus.publish(started, ended);

    const usual = await watch(start(['tail', '--all'], bus.environment), 1);
    const both = await watch(start(['tail', '--all', '--started'], bus.environment), 2);

    const line = '00:00:22 3f2a91c0 · 20.0k in, 600 out · 12.5 s · The basil lo… → It was repotte…';
    expect(usual.lines).toEqual([line]);
    expect(both.lines).toEqual(['00:00:10 3f2a91c0 · alpha · started · The basil looks pale.', line]);
  });

  test('prints the event as JSON', async () => {
    await bus.publish(ended);

    const { lines } = await watch(start(['tail', '--all', '--json'], bus.environment), 1);

    expect(JSON.parse(lines[0] as string)).toMatchObject({ stream: 't:turns', type: 'turn.ended', data: turnEnded() });
  });

  test('goes on where it was when Redis comes back, and says so', async () => {
    const loom = await startWatching('tail');
    await bus.server.stop();
    await until(() => loom.stderr().includes('away'));
    await bus.server.start();
    await until(() => bus.streams.connected);

    await bus.publish(ended);

    expect((await watch(loom, 1)).code).toBe(0);
    expect(loom.stderr()).toBe('loom: Redis is away; waiting for it\nloom: Redis is back\n');
  });
});
