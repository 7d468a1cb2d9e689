import { describe, expect, test } from '@jest/globals';
import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { lostSpans } from '../../src/core/lost-spans.ts';
import type { Call } from '../../src/core/turn.ts';
import { call, OPTIONS, ROOT, SESSION, START, TRACE } from '../sample-turn.ts';

const PLACE = { traceId: TRACE, session: SESSION, turn: 'turn-1', profile: 'alpha', endedBy: START + 9_000 };
const spansOf = (changes: Partial<Call> = {}) => lostSpans(call(changes), PLACE, OPTIONS);

describe('lostSpans', () => {
  test('gives the request span as its gateway would have', () => {
    const asked = { rewriter: 'intro-injector', labels: ['human'], waitedMs: 3 };
    const edits = [{ ...asked, outcome: 'applied' as const, operations: 1, bytesBefore: 0, bytesAfter: 9 }];
    const link = { traceId: 'e'.repeat(32), spanId: 'f'.repeat(16) };

    expect(spansOf({ edits: [...edits], link, heldMs: 7 })).toEqual([
      {
        traceId: TRACE,
        spanId: '1111111111111111',
        parentSpanId: turnSpanIdOf(TRACE, ROOT),
        name: 'loom: POST /v1/messages',
        kind: 'server',
        startedAt: START + 100,
        endedAt: START + 1_100,
        attributes: {
          'openinference.span.kind': 'CHAIN',
          'session.id': SESSION,
          'loom.turn.id': 'turn-1',
          'http.request.method': 'POST',
          'url.path': '/v1/messages',
          'loom.trace.origin': 'hook',
          'loom.request.id': 'r1',
          'loom.request.class': 'main',
          'loom.profile': 'alpha',
          'loom.request.bytes': 900,
          'loom.forwarded.bytes': 800,
          'loom.response.bytes': 3_000,
          'loom.metadata.blocks': 1,
          'loom.ledger.replayed': 0,
          'loom.hold.ms': 7,
          'http.response.status_code': 200,
          'anthropic.request_id': 'req_1',
          'loom.end.reason': 'complete',
          'loom.edit.intro-injector': 'applied',
          'loom.edit.intro-injector.labels': ['human'],
          'loom.edit.intro-injector.bytes_before': 0,
          'loom.edit.intro-injector.bytes_after': 9,
        },
        events: [],
        links: [link],
        status: 'unset',
      },
    ]);
  });

  test('gives one that never went out, and of which nobody saw the end, with what is known', () => {
    const { forwardedAt: _, endedAt: __, endReason: ___, ...open } = call({ status: null, upstreamRequestId: null });

    const [span] = lostSpans(open, PLACE, OPTIONS);

    expect([span?.endedAt, span?.status, span?.attributes['loom.end.reason']]).toEqual([
      START + 9_000,
      'unset',
      'unknown',
    ]);
    expect(Object.keys(span?.attributes ?? {}).filter((name) => /forwarded|response|hold/.test(name))).toEqual([]);
  });

  test('says what failed, and of a client that left only that it did', () => {
    const endOf = (changes: Partial<Call>) => {
      const [span] = spansOf(changes);
      return [span?.status, span?.attributes['error.type'], span?.attributes['loom.end.reason']];
    };

    expect(endOf({ endReason: 'upstream_error', errorType: 'overloaded_error', status: 529 })).toEqual([
      'error',
      'overloaded_error',
      'upstream_error',
    ]);
    expect(endOf({ endReason: 'client_closed' })).toEqual(['unset', undefined, 'client_closed']);
  });

  test('gives a request of no turn without the session, which Phoenix would show by it', () => {
    const { parentSpanId: _, ...root } = call({ origin: 'none' });

    const [span] = lostSpans(root, PLACE, OPTIONS);

    expect([span?.parentSpanId, span?.attributes['session.id'], span?.attributes['loom.turn.id']]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(span?.attributes['loom.session.id']).toBe(SESSION);
  });

  test('gives the span of each event, from which those who read it descend', () => {
    const sends = [{ spanId: 'c'.repeat(16), type: 'response.completed', at: START + 1_101 }] as const;

    const [, send] = spansOf({ sends: [...sends] });

    expect(send).toEqual({
      traceId: TRACE,
      spanId: 'c'.repeat(16),
      parentSpanId: '1111111111111111',
      name: 'send loom:responses',
      kind: 'producer',
      startedAt: START + 1_101,
      endedAt: START + 1_101,
      attributes: {
        'session.id': SESSION,
        'messaging.system': 'redis',
        'messaging.operation.name': 'send',
        'messaging.destination.name': 'loom:responses',
        'cloudevents.event_type': 'response.completed',
      },
      events: [],
      links: [],
      status: 'unset',
    });
  });
});
