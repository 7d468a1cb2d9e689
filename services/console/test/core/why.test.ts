import { describe, expect, test } from '@jest/globals';
import type { DataOf } from '@loom/shared/event.ts';
import { type ExchangeEvents, explainExchange } from '../../src/core/why.ts';
import { editsProposed, event, plainScreen, requestForwarded, requestReceived, responseCompleted } from '../events.ts';

function explained(events: Partial<ExchangeEvents>): string[] {
  return explainExchange({ requestId: 'r1', proposed: [], alerts: [], ...events }, 't', plainScreen(80));
}

describe('explainExchange', () => {
  test('tells what was asked, what each rewriter did with which words, and what was answered', () => {
    const lines = explained({
      received: event('request.received', requestReceived()),
      forwarded: event('request.forwarded', requestForwarded()),
      proposed: [event('edits.proposed', editsProposed())],
      response: event('response.completed', responseCompleted()),
    });

    expect(lines).toEqual([
      '00:00:10 3f2a91c0 · main · alpha · claude-opus-4-6 · r1',
      '1000 → 1040 bytes · held 12 ms · 1 metadata block cut · 2 durable edits replayed',
      'compact-rewriter applied 1 after 8 ms: its edits are in the request',
      '  awaited up to 10000 ms, for identity',
      '  replace /system/1/text',
      '    - You are Claude Code.',
      '    + You are Alpha.',
      'answer main · claude-opus-4-6 · 200 · end_turn · 10.0k in, 300 out · cache 95 %…',
    ]);
  });

  test('finds the text before each kind of edit', () => {
    const edits: DataOf<'edits.proposed'>['edits'] = [
      { op: 'test', path: '/messages/2/content/0/text', value: 'Tea?' },
      { op: 'add', path: '/messages/2/content/-', value: { type: 'text', text: 'Remember.' }, durable: true },
      { op: 'replace', path: '/messages/2/content/0', value: { type: 'text', text: 'Coffee?' } },
      { op: 'replace', path: '/messages/0/content/0/text', value: 'Hi.' },
      { op: 'remove', path: '/system/1' },
    ];

    const lines = explained({
      received: event('request.received', requestReceived()),
      forwarded: event('request.forwarded', requestForwarded()),
      proposed: [event('edits.proposed', editsProposed({ edits }))],
    });

    expect(lines.slice(4)).toEqual([
      '  awaited up to 10000 ms, for identity',
      '  test /messages/2/content/0/text',
      '  add /messages/2/content/-, durable',
      '    + Remember.',
      '  replace /messages/2/content/0',
      '    - Tea?',
      '    + Coffee?',
      '  replace /messages/0/content/0/text',
      '    - Hello.',
      '    + Hi.',
      '  remove /system/1',
      '    - You are Claude Code.',
    ]);
  });

  test.each([
    ['late', 'no answer in time, so none of its edits'],
    ['absent', 'no replica was alive'],
    ['skipped', 'late before, so not waited for'],
    ['unreachable', 'Redis did not take the question'],
    ['refused', 'its answer broke a rule'],
    ['error', 'it said that it failed'],
    ['none', 'it had nothing to change'],
  ] as const)('says why a rewriter was bypassed: %s', (outcome, because) => {
    const edits = [{ rewriter: 'intro-injector', outcome, operations: 0, waitedMs: 150, reason: 'a\u001b[2J reason' }];

    const lines = explained({
      received: event('request.received', requestReceived()),
      forwarded: event('request.forwarded', requestForwarded({ edits })),
    });

    expect(lines.slice(-3)).toEqual([
      `intro-injector ${outcome} after 150 ms: ${because}`,
      '  reason: a reason',
      '  awaited up to 150 ms',
    ]);
  });

  test('says that nobody wanted it, or that its profile wants nobody', () => {
    const linesOf = (profile: string) =>
      explained({
        forwarded: event('request.forwarded', requestForwarded({ edits: [], profile, bytesOut: 1_000, heldMs: 0 })),
      });

    expect(linesOf('alpha').slice(3)).toEqual([
      '1000 bytes, unchanged in length · not held · 1 metadata block cut · 2 durable e…',
      'no rewriter wanted it',
    ]);
    expect(linesOf('passthrough').at(-1)).toBe('profile passthrough: nothing is ever rewritten');
  });

  test('says what was trimmed away', () => {
    expect(explained({})).toEqual(['nothing is known of r1 any more']);
    expect(explained({ forwarded: event('request.forwarded', requestForwarded()) }).slice(1)).toEqual([
      'what was asked is gone: t:requests keeps about 2000 entries',
      'it is not answered yet, or the answer is gone',
      '1000 → 1040 bytes · held 12 ms · 1 metadata block cut · 2 durable edits replayed',
      'compact-rewriter applied 1 after 8 ms: its edits are in the request',
      '  its answer is gone',
    ]);
    expect(explained({ received: event('request.received', requestReceived()) }).slice(1)).toEqual([
      'it was not forwarded, or not yet',
    ]);
    expect(explained({ response: event('response.completed', responseCompleted()) })[2]).toBe(
      'it was not forwarded, or that is gone: t:responses keeps about 20000 entries',
    );
  });

  test('tells of a compaction that went wrong', () => {
    const lost = { requestId: 'r1', rewriter: 'compact-rewriter', labels: ['identity'], waitedMs: 9, reason: 'absent' };
    const unrecognised = { requestId: 'r1', reason: 'no signature', opening: 'Please' };
    const bypassed = { requestId: 'r1', rewriter: 'compact-rewriter', outcome: 'absent', waitedMs: 9 };

    const lines = explained({
      received: event('request.received', requestReceived()),
      alerts: [
        event('identity.lost', lost),
        event('compaction.unrecognised', unrecognised),
        event('rewriter.bypassed', bypassed),
      ],
    });

    expect(lines.slice(2)).toEqual([
      'identity.lost compact-rewriter · identity · waited 9 ms · absent',
      'compaction.unrecognised no signature · Please',
    ]);
  });
});
