import { describe, expect, test } from '@jest/globals';
import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { foldTurn } from '../../src/core/fold.ts';
import type { TurnRecord } from '../../src/core/record.ts';
import type { Turn } from '../../src/core/turn.ts';
import { BEGIN, exchange, KEY, recordsOf, SESSION, spanIdOf, TRACE } from '../story.ts';

const hook = { prompt: 'Mend the gate.', source: 'alpha', cwd: '/work/garden' };
const asking = { stopReason: 'tool_use' } as const;

function fold(...exchanges: ReturnType<typeof exchange>[]): Turn {
  return foldTurn(recordsOf(...exchanges)) as Turn;
}

const told = (text: string) => [{ role: 'user', content: [{ type: 'text', text }] }];

describe('foldTurn', () => {
  test('makes a turn of the events of one call', () => {
    const usage = { input_tokens: 3, output_tokens: 5 };
    const input = told('Mend the gate.');

    const turn = fold(exchange('r1', { hook, text: 'Mended.', usage, input, body: 'c' }));

    const facts = { requestId: 'r1', gateway: 'g1', class: 'main', profile: 'alpha', model: 'claude-opus-5-5' };
    expect(turn).toEqual({
      key: KEY,
      session: SESSION,
      ...TRACE,
      origin: 'hook',
      profile: 'alpha',
      hook,
      prompt: 'Mend the gate.',
      startedAt: BEGIN,
      endedAt: BEGIN + 1_000,
      endReason: 'open',
      answer: 'Mended.',
      calls: [
        {
          requestId: 'r1',
          gateway: 'g1',
          spanId: spanIdOf('r1'),
          parentSpanId: turnSpanIdOf(TRACE.traceId, TRACE.rootSpanId),
          origin: 'hook',
          class: 'main',
          model: 'claude-opus-5-5',
          responseModel: 'claude-opus-5-5-20260801',
          upstream: { address: 'api.anthropic.com', port: 443 },
          stream: true,
          startedAt: BEGIN,
          forwardedAt: BEGIN + 10,
          endedAt: BEGIN + 1_000,
          firstByteMs: 100,
          firstContentMs: 120,
          status: 200,
          endReason: 'complete',
          errorType: null,
          stopReason: 'end_turn',
          usage,
          responseId: 'msg_r1',
          upstreamRequestId: 'req_r1',
          text: 'Mended.',
          bytesIn: 1_000,
          bytesOut: 900,
          bytes: 2_000,
          metadataBlocks: 1,
          replayed: 0,
          heldMs: 10,
          edits: [],
          captured: {
            ...facts,
            trace: { ...TRACE, spanId: spanIdOf('r1'), origin: 'hook' },
            capture: 'delta',
            input,
            inputOmitted: 0,
            parameters: {},
            output: [],
            truncated: false,
          },
          sends: [],
        },
      ],
      tools: [],
      agents: [],
    });
  });

  test('knows no turn before an exchange', () => {
    const [, , , captured] = recordsOf(exchange('r1', { input: told('Hi.') }));

    expect(foldTurn([])).toBeUndefined();
    expect(foldTurn([captured as TurnRecord])).toBeUndefined();
  });

  test('takes the prompt from what was typed, where no hook told it, without what the client added', () => {
    const content = [
      { type: 'text', text: '<system-reminder>\nToday is a Sunday.\n</system-reminder>' },
      { type: 'text', text: 'Mend the gate.' },
    ];

    const turn = fold(exchange('r1', { trace: { origin: 'gateway' }, input: [{ role: 'user', content }] }));

    expect([turn.prompt, turn.origin, turn.hook]).toEqual(['Mend the gate.', 'gateway', undefined]);
    expect(fold(exchange('r1')).prompt).toBeNull();
  });

  test('leaves out what the operator of the gateway lets nobody see', () => {
    const turn = fold(exchange('r1', { hook, text: 'Mended.', capture: 'metadata' }));

    expect([turn.prompt, turn.answer, turn.calls[0]?.text]).toEqual([null, null, '']);
  });

  test('has no answer while the last main call asks for a tool, or failed', () => {
    expect(fold(exchange('r1', { ...asking, text: 'Let me look.' })).answer).toBeNull();
    expect(fold(exchange('r1', { text: 'Half of', failure: { endReason: 'upstream_aborted' } })).answer).toBeNull();
    expect(fold(exchange('r1', { class: 'subagent', agentId: 'a1', text: 'Seen.' })).answer).toBeNull();
  });

  test('takes a gateway’s word for when a call went out, which need not be when its hold ended', () => {
    const [received, forwarded] = recordsOf(exchange('r1')) as [TurnRecord, Extract<TurnRecord, { kind: 'forwarded' }>];
    const forwardedAt = new Date(BEGIN + 25).toISOString();

    const turn = foldTurn([received, { ...forwarded, data: { ...forwarded.data, forwardedAt } }]);

    expect(turn?.calls[0]?.forwardedAt).toBe(BEGIN + 25);
  });

  test('takes a call to have gone out that was answered, where nothing says when', () => {
    const [received, , response] = recordsOf(exchange('r1'));

    const forwardedAt = (records: TurnRecord[]) => foldTurn(records)?.calls[0]?.forwardedAt;

    expect(forwardedAt([received as TurnRecord])).toBeUndefined();
    expect(forwardedAt([response as TurnRecord])).toBe(BEGIN);
    expect(forwardedAt(recordsOf(exchange('r1', { failure: { endReason: 'timeout', status: null } })))).toBe(
      BEGIN + 10,
    );
  });

  test('stays open-ended for a call without a response, and ends when the user stopped it', () => {
    const stopped: TurnRecord = { kind: 'interrupted', session: SESSION, time: BEGIN + 9_000, data: { id: 'l1' } };

    const turn = foldTurn([...recordsOf(exchange('r1', { isOpen: true })), stopped]);

    expect(turn?.calls[0]).not.toHaveProperty('endedAt');
    expect([turn?.interruptedAt, turn?.endedAt]).toEqual([BEGIN + 9_000, BEGIN + 9_000]);
  });

  test('is named by the exchange that opened it, not by those that only happened in it', () => {
    const title = exchange('r0', { at: -100, class: 'auxiliary' });
    const client = { origin: 'client', clientSpanId: 'c'.repeat(16) } as const;

    const turn = fold(title, exchange('r1', { trace: client }), exchange('r2', { at: 2_000 }));

    expect([turn.origin, turn.clientSpanId, turn.startedAt]).toEqual(['client', 'c'.repeat(16), BEGIN - 100]);
    const titled = exchange('r0', { at: -100, class: 'auxiliary', trace: client });
    expect(fold(titled, exchange('r1', { hook })).origin).toBe('hook');
    const compacted = exchange('r0', { at: -100, class: 'compaction' });
    expect(fold(compacted, exchange('r1', { trace: client })).origin).toBe('client');
    expect(turn.calls.map(({ requestId }) => requestId)).toEqual(['r0', 'r1', 'r2']);
  });
});
