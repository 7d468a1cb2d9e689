import { describe, expect, test } from '@jest/globals';
import { deadLetter } from '@loom/shared/dead-letter.ts';
import { type DataOf, type EventType, encodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import { formatEntry } from '../../src/core/event-line.ts';
import { event, plainScreen, responseCompleted, screen, transcriptLine, turnEnded } from '../events.ts';

const ID = `${Date.parse('2026-01-01T00:00:10Z')}-0`;
const exchange = { requestId: 'r1', gateway: 'g1', class: 'main', profile: 'alpha', model: 'claude-opus-4-6' } as const;
const SHA = '0'.repeat(64);
const edit = { rewriter: 'compact-rewriter', outcome: 'applied', operations: 2, waitedMs: 3 } as const;

function lineOf<Type extends EventType>(stream: string, type: Type, data: DataOf<Type>): string {
  const fields = encodeEvent(event(type, data) as LoomEvent);
  return formatEntry({ key: `t:${stream}`, id: ID, fields }, 't', plainScreen(200));
}

const request: DataOf<'request.received'> = {
  ...exchange,
  replyStream: 't:edits:g1',
  awaited: [{ rewriter: 'intro-injector', holdMs: 150, labels: ['human'] }],
  path: '/v1/messages',
  stream: true,
  body: { bytes: 1_234, messages: 1, tools: 0 },
};
const forwarded: DataOf<'request.forwarded'> = {
  ...exchange,
  bytesIn: 1_234,
  bytesOut: 1_300,
  metadataBlocks: 1,
  replayed: 2,
  heldMs: 3.4,
  edits: [edit, { ...edit, rewriter: 'intro-injector', outcome: 'refused', operations: 0, reason: 'a test failed' }],
};

describe('formatEntry', () => {
  test.each([
    [
      lineOf('requests', 'request.received', request),
      '00:00:10 request.received   3f2a91c0 main · alpha · claude-opus-4-6 · 1 message · 1234 bytes · awaits intro-injector',
    ],
    [
      lineOf('edits:g1', 'edits.proposed', {
        requestId: 'r1',
        rewriter: 'intro-injector',
        replica: 'i1',
        bodySha256: SHA,
        edits: [{ op: 'remove', path: '/messages/0' }],
      }),
      '00:00:10 edits.proposed     3f2a91c0 intro-injector · 1 edit',
    ],
    [
      lineOf('responses', 'request.forwarded', forwarded),
      '00:00:10 request.forwarded  3f2a91c0 main · alpha · 1234 → 1300 bytes · held 3 ms · 2 replayed · compact-rewriter applied 2 · intro-injector refused (a test failed)',
    ],
    [
      lineOf('responses', 'request.forwarded', { ...forwarded, bytesOut: 1_234, heldMs: 0, replayed: 0, edits: [] }),
      '00:00:10 request.forwarded  3f2a91c0 main · alpha · 1234 bytes',
    ],
    [
      lineOf('responses', 'response.completed', responseCompleted({ toolUses: [{ id: 't1', name: 'Bash' }] })),
      '00:00:10 response.completed 3f2a91c0 main · claude-opus-4-6 · 200 · end_turn · 10.0k in, 300 out · cache 95 % · Bash · 2.0 s',
    ],
    [
      lineOf('responses', 'response.failed', {
        ...responseCompleted({ status: null, usage: null }),
        endReason: 'upstream_error',
        errorType: 'ECONNREFUSED',
      }),
      '00:00:10 response.failed    3f2a91c0 main · claude-opus-4-6 · upstream_error · ECONNREFUSED · 2.0 s',
    ],
    [
      lineOf('alerts', 'rewriter.bypassed', {
        requestId: 'r1',
        rewriter: 'intro-injector',
        outcome: 'late',
        waitedMs: 150.2,
      }),
      '00:00:10 rewriter.bypassed  3f2a91c0 intro-injector · late · waited 150 ms',
    ],
    [
      lineOf('alerts', 'identity.lost', {
        requestId: 'r1',
        rewriter: 'compact-rewriter',
        labels: ['summary'],
        waitedMs: 10_000,
        reason: 'nobody was there',
      }),
      '00:00:10 identity.lost      3f2a91c0 compact-rewriter · summary · waited 10000 ms · nobody was there',
    ],
    [
      lineOf('alerts', 'compaction.unrecognised', {
        requestId: 'r1',
        reason: 'no pack fits',
        opening: 'Please\nsum up',
      }),
      '00:00:10 compaction.unrecognised 3f2a91c0 no pack fits · Please sum up',
    ],
    [
      lineOf('alerts', 'transcript.refused', { reason: 'unreadable', code: 'EACCES' }),
      '00:00:10 transcript.refused 3f2a91c0 unreadable · EACCES',
    ],
    [
      lineOf('alerts', 'spool.full', { gateway: 'g1', dropped: 2 }),
      '00:00:10 spool.full         3f2a91c0 g1 · 2 events dropped',
    ],
    [
      lineOf('captures', 'exchange.captured', {
        ...exchange,
        capture: 'delta',
        input: [{ role: 'user', content: [] }],
        inputOmitted: 3,
        parameters: {},
        output: [],
        truncated: false,
      }),
      '00:00:10 exchange.captured  3f2a91c0 main · delta · 1 message, 3 left out',
    ],
    [
      lineOf('transcripts', 'transcript.line', transcriptLine()),
      '00:00:10 transcript.line    3f2a91c0 user/user (text) The basil looks pale.',
    ],
    [
      lineOf('turns', 'turn.ended', turnEnded()),
      '00:00:10 turn.ended         3f2a91c0 alpha · claude-opus-4-6 · 2 calls · Bash, Read ×2 · 20.0k in, 600 out · cache 95 % · $0.12 · 12.5 s',
    ],
    [
      lineOf('turns', 'turn.started', turnEnded()),
      '00:00:10 turn.started       3f2a91c0 alpha · The basil looks pale.',
    ],
  ])('says what matters: %s', (line, expected) => {
    expect(line).toBe(expected);
  });

  test('prints the data of a type that is newer than this program', () => {
    const fields = ['type', 'tea.made', 'subject', 's1', 'data', '{"cups":2}'];

    expect(formatEntry({ key: 't:tea', id: ID, fields }, 't', plainScreen(80))).toBe(
      '00:00:10 tea.made           s1 {"cups":2}',
    );
  });

  test('prints what is no event at all', () => {
    const lineOfFields = (...fields: string[]) => formatEntry({ key: 't:tea', id: ID, fields }, 't', plainScreen(80));

    expect(lineOfFields('cups', '2')).toBe('00:00:10 no event           no session {"cups":"2"}');
    expect(lineOfFields('data', '{\u001b[2J')).toBe('00:00:10 no event           no session {');
  });

  test('says of a dead letter who gave up on it and why', () => {
    const origin = { key: 't:turns', id: '1-0', fields: encodeEvent(event('turn.ended', turnEnded())), deliveries: 5 };
    const { fields } = deadLetter('t:dead-letters', origin, 'scribe', 'list\nis a hash');

    expect(formatEntry({ key: 't:dead-letters', id: ID, fields }, 't', plainScreen(100))).toBe(
      '00:00:10 dead letter        3f2a91c0 turn.ended of t:turns, scribe: list is a hash',
    );
  });

  test('colours by the stream', () => {
    const fields = encodeEvent(event('spool.full', { gateway: 'g1', dropped: 1 }));

    expect(formatEntry({ key: 't:alerts', id: ID, fields }, 't', screen)).toBe(
      '<dim:00:00:10 ><red:spool.full        > 3f2a91c0 g1 · 1 event dropped',
    );
  });
});
