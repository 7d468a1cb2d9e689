import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deadLetter } from '@loom/shared/dead-letter.ts';
import { EventData, type LoomEvent } from '@loom/shared/event.ts';
import { openBus } from './bus.ts';
import {
  draft,
  editsProposed,
  event,
  requestForwarded,
  requestReceived,
  responseCompleted,
  transcriptLine,
  turnEnded,
  turnSummary,
} from './events.ts';
import { killAll, run, runHere, start, watch } from './loom.ts';

const bus = await openBus();
afterAll(async () => {
  killAll();
  await bus.close();
});

/** Clears, retitles, links, colours in one byte, turns the direction, hides, ends the line. */
const NASTY =
  '\u001b[2J\u001b]0;mine\u0007\u001b]8;;http://evil\u0007\u009b31m\u202e\u2066\u200b\u{e0041}\u2028\r\n\u0000\u007f';
/** What a terminal obeys, or nobody sees; the end of a line is the command's own. */
const OBEYED = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

type Json = Record<string, unknown>;

/** The same value with every string made hostile for which `isValid` still holds, one after the other. */
function poisoned<Value extends object>(value: Value, isValid: (value: Value) => boolean): Value {
  const copy = structuredClone(value);
  const visit = (node: Json) => {
    for (const [key, child] of Object.entries(node)) {
      if (typeof child === 'object' && child !== null) visit(child as Json);
      if (typeof child !== 'string') continue;
      node[key] = `${child}${NASTY}`;
      if (!isValid(copy)) node[key] = child;
    }
  };
  visit(copy as Json);
  return copy;
}

function poisonedEvent(sound: LoomEvent): LoomEvent {
  const schema = EventData[sound.type];
  const data = poisoned(sound.data, (changed) => schema.safeParse(changed).success);
  return { ...sound, subject: `${sound.subject}${NASTY}`, data: { ...data, requestId: 'r1' } } as LoomEvent;
}

beforeAll(async () => {
  const events: LoomEvent[] = [
    event('request.received', requestReceived()),
    event('edits.proposed', editsProposed()),
    event('request.forwarded', requestForwarded()),
    event('response.completed', responseCompleted()),
    event('transcript.line', transcriptLine()),
    event('turn.ended', turnEnded()),
    event('rewriter.bypassed', { requestId: 'r1', rewriter: 'intro', outcome: 'refused', waitedMs: 1, reason: 'no' }),
    event('compaction.unrecognised', { requestId: 'r1', reason: 'no', opening: 'Your task' }),
    event('transcript.refused', { reason: 'outside', code: 'ENOENT' }),
  ];
  for (const sound of events) {
    const hostile = draft(poisonedEvent(sound));
    await bus.publish(sound.type === 'edits.proposed' ? { ...hostile, stream: `t:edits:gateway${NASTY}` } : hostile);
  }
  for (const stream of ['requests', 'responses', 'alerts', 'turns', 'transcripts', 'captures', 'dead-letters'])
    await bus.redis.xadd(`t:${stream}`, '*', `field${NASTY}`, `value${NASTY}`, 'type', `type${NASTY}`, 'data', NASTY);
  const origin = { key: `t:tea${NASTY}`, id: '1-0', fields: [`a${NASTY}`, `b${NASTY}`], deliveries: 5 };
  await bus.streams.append([deadLetter('t:dead-letters', origin, `cook${NASTY}`, `too hot${NASTY}`)]);
  const session = `s${NASTY}`;
  const summary = poisoned(turnSummary({ session }), () => true);
  await bus.redis.zadd('t:last-turns', 1, session);
  await bus.redis.set(`t:last-turn:${session}`, JSON.stringify(summary));
  await bus.redis.hset('t:rewriters', `intro${NASTY}`, `{"name":"intro${NASTY}"`, 'scribe', `{"name":"${NASTY}"}`);
  await bus.redis.set(`t:rewriter:intro${NASTY}`, `replica${NASTY}`);
  for (const name of ['gateway', `cook${NASTY}`]) {
    const said = JSON.stringify({ name: `${name}${NASTY}`, replica: NASTY, version: NASTY, host: NASTY, url: NASTY });
    await bus.redis.set(`t:service:${name}:${name}-1${NASTY}`, said);
  }
  await bus.redis.xgroup('CREATE', 't:requests', `group${NASTY}`, '0');
  await bus.redis.xreadgroup('GROUP', `group${NASTY}`, `reader${NASTY}`, 'STREAMS', 't:requests', '>');
});

describe('loom, where somebody wrote into Redis what a terminal obeys, prints nothing of it', () => {
  test.each([['status'], ['why r1'], ['why r1 --json'], ['trace'], ['dead-letters list'], ['doctor']])(
    'loom %s',
    async (words) => {
      const { lines, stderr } = await (words === 'doctor' ? run : runHere)(words.split(' '), bus.environment);

      expect(lines.length + stderr.length).toBeGreaterThan(0);
      expect(`${lines.join('\n')}${stderr}`).not.toMatch(OBEYED);
    },
  );

  test('loom dead-letters show', async () => {
    const [letter] = await bus.redis.xrevrange('t:dead-letters', '+', '-');

    const { code, lines } = await runHere(['dead-letters', 'show', letter?.[0] as string], bus.environment);

    expect(code).toBe(0);
    expect(lines.join('\n')).not.toMatch(OBEYED);
  });

  test.each([
    ['events --since 0-1', 17],
    ['events --json --since 0-1', 17],
    ['tail --started --since 0-1', 1],
    ['transcripts --since 0-1', 1],
  ])('loom %s', async (words, count) => {
    const loom = start(words.split(' '), bus.environment);

    const { lines } = await watch(loom, count);

    expect(lines).toHaveLength(count);
    expect(`${lines.join('\n')}${loom.stderr()}`).not.toMatch(OBEYED);
  });
});
