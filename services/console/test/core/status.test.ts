import { describe, expect, test } from '@jest/globals';
import { type Status, tallyAlerts } from '../../src/core/status.ts';
import { formatStatus } from '../../src/core/status-page.ts';
import { event, plainScreen, screen } from '../events.ts';

const AT = Date.parse('2026-01-01T02:00:10Z');
const replica = { since: '2026-01-01T00:00:10Z', handled: 1_234, failed: 0, deadLettered: 1, memoryBytes: 62_914_560 };
const status: Status = {
  at: AT,
  replicas: [{ ...replica, service: 'intro-injector', replica: 'intro-injector-pi-7' }],
  absentRewriters: ['compact-rewriter'],
  openBreakers: [{ rewriter: 'intro-injector', gateway: 'pi-1' }],
  streams: [
    {
      name: 'requests',
      length: 2_000,
      groups: [
        { name: 'compact-rewriter', lag: 3, pending: 1, oldestUnreadMs: 190_000 },
        { name: 'intro-injector', lag: 0, pending: 0, oldestUnreadMs: null },
      ],
    },
    { name: 'turns', length: 5, groups: [] },
  ],
  deadLetters: 2,
  alerts: [{ type: 'rewriter.bypassed', detail: 'compact-rewriter absent', count: 12 }],
  memory: { usedBytes: 13_000_000, maxBytes: 268_435_456, residentBytes: 10_485_760 },
};
const nothing: Status = {
  at: AT,
  replicas: [],
  absentRewriters: [],
  openBreakers: [],
  streams: [],
  deadLetters: 0,
  alerts: [],
  memory: { usedBytes: 1_048_576, maxBytes: 0, residentBytes: 2_097_152 },
};

describe('formatStatus', () => {
  test('shows services, streams with their groups, dead letters and alerts', () => {
    expect(formatStatus(status, plainScreen(80))).toEqual([
      '02:00:10 · Redis holds 12.4 MB of 256.0 MB · all together 70.0 MB',
      '',
      'service           up      memory   handled  failed  dead  replica',
      'intro-injector       2 h  60.0 MB     1234       0     1  intro-injector-pi-7',
      'compact-rewriter  absent',
      'intro-injector is skipped: it did not answer in time (pi-1)',
      '',
      'stream    length  group             lag  pending  oldest unread',
      'requests    2000  compact-rewriter    3        1          3 min',
      '                  intro-injector      0        0',
      'turns          5',
      '',
      '2 dead letters: loom dead-letters list',
      'alerts of the last hour:',
      '12  rewriter.bypassed  compact-rewriter absent',
    ]);
  });

  test('says so when there is nothing', () => {
    expect(formatStatus(nothing, plainScreen(80))).toEqual([
      '02:00:10 · Redis holds 1.0 MB · all together 2.0 MB',
      '',
      'no service is there',
      '',
      'no stream holds anything',
      '',
      'no dead letters',
      'no alerts in the last hour',
    ]);
  });

  test('shows in red who is absent and what waits too long', () => {
    const page = formatStatus(status, screen);

    expect([page[4], page[5], page[8], page[12]]).toEqual([
      '<red:compact-rewriter><red:  absent>',
      '<red:intro-injector is skipped: it did not answer in time><dim: (pi-1)>',
      'requests    2000  compact-rewriter    3        1<red:          3 min>',
      '<red:2 dead letters>: loom dead-letters list',
    ]);
  });

  test.each([
    [null, 0, '? '],
    [4, 9_000, '9.0 s'],
    [4, 3_600_000, '1 h'],
    [4, 200_000_000, '2 d'],
  ])('shows a lag of %p and an age of %p ms', (lag, oldestUnreadMs, expected) => {
    const groups = [{ name: 'g', lag, pending: 0, oldestUnreadMs }];

    expect(formatStatus({ ...nothing, streams: [{ name: 's', length: 1, groups }] }, plainScreen(80))[5]).toContain(
      expected,
    );
  });
});

describe('tallyAlerts', () => {
  test('counts those that say the same, most frequent first', () => {
    const bypassed = (rewriter: string, reason?: string) =>
      event('rewriter.bypassed', {
        requestId: 'r',
        rewriter,
        outcome: 'refused',
        waitedMs: 1,
        ...(reason && { reason }),
      });
    const gap = (lost: number) => ({
      ...{ stream: 'responses', group: 'trace-grouper', state: 'unread' as const },
      ...{ from: '1-0', to: '9-0', lost },
    });
    const events = [
      event('spool.full', { gateway: 'g1', dropped: 3 }),
      bypassed('a'),
      bypassed('b', 'a test\nfailed'),
      bypassed('b', 'a test\nfailed'),
      event('identity.lost', { requestId: 'r', rewriter: 'a', labels: [], waitedMs: 1, reason: 'late' }),
      event('stream.gap', gap(2_000)),
      event('stream.gap', gap(12)),
      event('compaction.unrecognised', { requestId: 'r', reason: 'no pack fits', opening: '…' }),
    ];

    expect(tallyAlerts(events)).toEqual([
      { type: 'rewriter.bypassed', detail: 'b refused a test failed', count: 2 },
      { type: 'stream.gap', detail: 'trace-grouper of responses: 2012 events lost', count: 2 },
      { type: 'compaction.unrecognised', detail: 'no pack fits', count: 1 },
      { type: 'identity.lost', detail: 'a late', count: 1 },
      { type: 'rewriter.bypassed', detail: 'a refused', count: 1 },
      { type: 'spool.full', detail: '', count: 1 },
    ]);
  });
});
