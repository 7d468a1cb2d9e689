import { describe, expect, test } from '@jest/globals';
import type { Metadata } from '@loom/shared/metadata.ts';
import { describeRequest, placeRequest, readRequest } from '../../src/core/messages-request.ts';
import { acceptAll, assistant, hookReminder, metadataLine, sha256, text, user } from './fixtures/body.ts';

const HEADERS = { 'x-claude-code-session-id': 's1' };
const FIELDS = { session_id: 's1', source: 'alpha', prompt: 'Hello', prompt_id: 'p1' };
const hook = (fields: Omit<Metadata, 'canary' | 'sig'> = FIELDS) => text(hookReminder(metadataLine(fields)));
const bodyOf = (...blocks: object[]) => ({
  model: 'm',
  messages: [user(...blocks)],
  tools: [{ name: 'a' }, { name: 'b' }],
  stream: true,
});

function read(body: unknown, headers: Record<string, string> = HEADERS) {
  return readRequest(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), headers, acceptAll);
}

describe('readRequest', () => {
  test('takes session, profile and metadata out of the newest block', () => {
    const { tree, metadataMessage, metadata, ...said } = read(bodyOf(hook(), text('Hello')), {});

    expect([said, metadata?.prompt, metadataMessage === tree?.messages[0]]).toEqual([
      { session: 's1', metadataBlocks: 1, namedProfile: 'alpha' },
      'Hello',
      true,
    ]);
  });

  test('believes a block of another session nothing, but cuts it', () => {
    const { tree: _, ...said } = read(bodyOf(hook({ ...FIELDS, session_id: 'parent' }), text('Hello')));

    expect(said).toEqual({
      session: 's1',
      metadata: undefined,
      metadataMessage: undefined,
      metadataBlocks: 1,
      namedProfile: undefined,
    });
  });

  test('believes a block that names no session', () => {
    const { metadata, namedProfile } = read(bodyOf(hook({ source: 'alpha' }), text('Hello')));

    expect([metadata?.source, namedProfile]).toEqual(['alpha', 'alpha']);
  });

  test('reads of a body that cannot be followed what the headers say', () => {
    expect(read('{"messages":', { ...HEADERS, 'x-loom-profile': 'beta' })).toEqual({
      tree: undefined,
      session: 's1',
      metadata: undefined,
      metadataMessage: undefined,
      metadataBlocks: 0,
      namedProfile: 'beta',
    });
  });
});

describe('placeRequest', () => {
  const place = (body: unknown, remembered?: string, headers = HEADERS) =>
    placeRequest(read(body, headers), headers, remembered === undefined ? {} : { profile: remembered }, sha256);

  test('takes the profile that the request names, then the one that is remembered, then passthrough', () => {
    expect([
      place(bodyOf(hook(), text('Hello')), 'beta').profile,
      place(bodyOf(text('Hello')), 'beta').profile,
      place(bodyOf(text('Hello'))).profile,
      place('{', 'beta').profile,
    ]).toEqual(['alpha', 'beta', 'passthrough', 'beta']);
  });

  test('names messages only in a session with a profile', () => {
    const body = bodyOf(text('Hello'));

    expect([
      [...place(body, 'alpha').anchors.values()],
      place(body).anchors.size,
      place(body, 'alpha', {} as typeof HEADERS).anchors.size,
      place('{', 'alpha').anchors.size,
    ]).toEqual([[sha256(`${sha256('s1')}\nHello`)], 0, 0, 0]);
  });

  test('knows the message that was typed, in main requests', () => {
    const loop = {
      ...bodyOf(text('Hello')),
      messages: [user(text('Hello')), assistant(text('a')), user({ type: 'tool_result' })],
    };

    expect([
      place(bodyOf(text('Hello'))).typed !== undefined,
      place(loop).typed,
      place({ messages: bodyOf(text('Hello')).messages }).typed,
      place('{').class,
    ]).toEqual([true, undefined, undefined, 'auxiliary']);
  });
});

describe('describeRequest', () => {
  test('says what the request alone decides', () => {
    const machine = { fqdn: 'pond.example' };
    const fields = { ...FIELDS, transcript_path: '/t.jsonl', sent_at: 'now', machine, prompt: 'x'.repeat(2_001) };
    const body = {
      ...bodyOf(hook(fields), text('Hello')),
      context_management: { edits: [{ type: 'compact_20260112', instructions: 'Be brief.' }] },
    };
    const headers = { ...HEADERS, 'x-claude-code-agent-id': 'a1', 'x-claude-code-prompt-id': 'p2' };

    expect(describeRequest(read(body, headers), headers, 1_234)).toEqual({
      model: 'm',
      stream: true,
      agentId: 'a1',
      promptId: 'p2',
      apiCompaction: true,
      body: { bytes: 1_234, messages: 1, tools: 2 },
      hook: { source: 'alpha', prompt: 'x'.repeat(2_000), transcriptPath: '/t.jsonl', sentAt: 'now', machine },
    });
  });

  test('leaves out what is not said, and headers that are no short text', () => {
    const headers = { ...HEADERS, 'x-claude-code-agent-id': 'a'.repeat(201), 'x-claude-code-prompt-id': 'é' };
    const body = { messages: [], context_management: { edits: [{ type: 'clear_thinking_20251015' }] } };

    expect([describeRequest(read(body), headers, 2), describeRequest(read('{'), HEADERS, 1)]).toEqual([
      { model: null, stream: false, body: { bytes: 2, messages: 0, tools: 0 } },
      { model: null, stream: false, body: { bytes: 1, messages: 0, tools: 0 } },
    ]);
  });

  test('takes the span that the root descends from, if it can be one', () => {
    const parentOf = (parent_span_id: string) =>
      describeRequest(read(bodyOf(hook({ ...FIELDS, parent_span_id }), text('Hello'))), HEADERS, 1).hook?.parentSpanId;

    expect(['b7ad6b7169203331', '0000000000000000', 'B7AD6B7169203331', 'b7ad'].map(parentOf)).toEqual([
      'b7ad6b7169203331',
      ...[undefined, undefined, undefined],
    ]);
  });

  test('takes the block’s prompt id where no header says it', () => {
    expect(describeRequest(read(bodyOf(hook(), text('Hello'))), HEADERS, 1).promptId).toBe('p1');
  });
});
