import { describe, expect, test } from '@jest/globals';
import { alarmOf } from '../../src/core/alarm.ts';
import { exchange, KEY, recordsOf, type Scene } from '../story.ts';

const limits = { graceMs: 2_000, retryMs: 60_000, idleMs: 600_000, toolIdleMs: 3_600_000 };
const soon = { afterMs: 2_000, moves: true };
const later = { afterMs: 600_000, moves: false };

function alarms(scene: Scene, key = KEY) {
  return recordsOf(exchange('r1', scene)).map((record) => alarmOf(key, record, limits));
}

describe('alarmOf', () => {
  test.each<[string, Scene]>([
    ['a final answer', {}],
    ['a subagent’s final answer', { class: 'subagent' }],
    ['a compaction', { class: 'compaction' }],
    ['a failure', { failure: { endReason: 'upstream_error' } }],
    ['a client that left', { failure: { endReason: 'client_closed' } }],
  ])('wakes soon after %s, and after its request only when all is silent', (_, scene) => {
    expect(alarms(scene)).toEqual([later, later, soon]);
  });

  test.each<[string, Scene]>([
    ['an answer that asks for a tool', { stopReason: 'tool_use' }],
    ['an auxiliary call', { class: 'auxiliary' }],
    ['a probe', { class: 'probe' }],
  ])('moves no alarm for %s', (_, scene) => {
    expect(alarms(scene)).toEqual([later, later, later]);
  });

  test('wakes soon after any exchange by itself', () => {
    expect(alarms({ class: 'auxiliary', stopReason: 'tool_use' }, `${KEY}+r1`)).toEqual([later, later, soon]);
  });
});
