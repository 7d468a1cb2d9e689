import { describe, expect, test } from '@jest/globals';
import type { LoomEvent } from '@loom/shared/event.ts';
import { sightingOf } from '../../src/core/sighting.ts';

const SESSION = '5f0c3c1e-6a51-4a0e-9a0b-0c1d2e3f4a5b';

const event: LoomEvent<'request.received'> = {
  type: 'request.received',
  id: '019b0000-0000-7000-8000-000000000001',
  source: '/loom/gateway/g1',
  subject: SESSION,
  time: '2026-01-17T12:00:00.123Z',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  data: {
    requestId: 'r1',
    gateway: 'g1',
    class: 'main',
    profile: 'alpha',
    model: null,
    replyStream: 't:edits:g1',
    awaited: [],
    path: '/v1/messages',
    stream: true,
    body: { bytes: 1, messages: 1, tools: 0 },
  },
};
const seen = {
  session: SESSION,
  atMs: Date.parse('2026-01-17T12:00:00.123Z'),
  eventId: event.id,
  traceparent: event.traceparent,
};
const withHint = (transcriptPath: string) => ({ ...event, data: { ...event.data, hook: { transcriptPath } } });

describe('sightingOf', () => {
  test("has the event's own trace where it says no more", () => {
    expect(sightingOf(event)).toEqual(seen);
  });

  test('has the request span where the event names it', () => {
    const trace = {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      rootSpanId: 'b7ad6b7169203331',
      spanId: '00f067aa0ba902b8',
      origin: 'hook',
    } as const;

    expect(sightingOf({ ...event, data: { ...event.data, trace } })).toEqual({
      ...seen,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b8-01',
    });
  });

  test('has the project folder of a good hint', () => {
    expect(sightingOf(withHint(`/home/alpha/.claude/projects/-home-alpha/${SESSION}.jsonl`))).toEqual({
      ...seen,
      project: '-home-alpha',
    });
  });

  test('has a bad hint as it came', () => {
    expect(sightingOf(withHint('/etc/passwd'))).toEqual({ ...seen, refusedHint: '/etc/passwd' });
  });

  test.each(['', '../../etc/passwd', 'a:b'])('is none for the session %j', (subject) => {
    expect(sightingOf({ ...event, subject })).toBeUndefined();
  });

  test('is older than any other with a time that is none', () => {
    expect(sightingOf({ ...event, time: 'yesterday' })?.atMs).toBe(0);
  });
});
