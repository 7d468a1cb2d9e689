import { turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { readPrices } from '../src/adapters/price-file.ts';
import type { RenderOptions } from '../src/core/render.ts';
import type { Call, Turn } from '../src/core/turn.ts';

export const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
export const ROOT = '00f067aa0ba902b7';
export const SESSION = 'b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21';
/** 2026-11-22T18:00:00Z */
export const START = 1_795_370_400_000;

const prices = await readPrices();
export const OPTIONS: RenderOptions = { prices, capture: 'delta', prefix: 'loom' };

/** A call of one second that ended well; it starts 100 ms after the turn and goes out 20 ms later. */
export function call(changes: Partial<Call> = {}): Call {
  return {
    requestId: 'r1',
    gateway: 'g1',
    spanId: '1111111111111111',
    parentSpanId: turnSpanIdOf(TRACE, ROOT),
    origin: 'hook',
    class: 'main',
    model: 'claude-opus-5',
    responseModel: null,
    upstream: { address: 'api.anthropic.com', port: 443 },
    stream: true,
    startedAt: START + 100,
    forwardedAt: START + 120,
    endedAt: START + 1_100,
    firstByteMs: 220,
    firstContentMs: 320,
    status: 200,
    endReason: 'complete',
    errorType: null,
    stopReason: 'end_turn',
    usage: { input_tokens: 10, cache_read_input_tokens: 1_000, cache_creation_input_tokens: 200, output_tokens: 50 },
    responseId: 'msg_1',
    upstreamRequestId: 'req_1',
    text: 'The door is blue.',
    bytesIn: 900,
    bytesOut: 800,
    bytes: 3_000,
    metadataBlocks: 1,
    replayed: 0,
    heldMs: 0,
    edits: [],
    captured: {
      requestId: 'r1',
      gateway: 'g1',
      class: 'main',
      profile: 'alpha',
      model: 'claude-opus-5',
      capture: 'delta',
      input: [{ role: 'user', content: [{ type: 'text', text: 'What colour is the door?' }] }],
      inputOmitted: 2,
      parameters: { max_tokens: 1_024 },
      output: [{ type: 'text', text: 'The door is blue.' }],
      truncated: false,
    },
    sends: [],
    ...changes,
  };
}

/** What was said in a call, in the place of the sample's. */
export function said(changes: Partial<NonNullable<Call['captured']>>): Pick<Call, 'captured'> {
  return { captured: { ...(call().captured as NonNullable<Call['captured']>), ...changes } };
}

/** A turn of one call, opened by the hook. */
export function turn(changes: Partial<Turn> = {}): Turn {
  return {
    key: `${TRACE}-${ROOT}`,
    session: SESSION,
    traceId: TRACE,
    rootSpanId: ROOT,
    origin: 'hook',
    profile: 'alpha',
    hook: {
      prompt: 'What colour is the door?',
      sentAt: new Date(START - 50).toISOString(),
      collectedMs: 12,
      cwd: '/home/sam/project',
      machine: { fqdn: 'loft.example' },
    },
    prompt: 'What colour is the door?',
    startedAt: START,
    endedAt: START + 1_100,
    endReason: 'end_turn',
    answer: 'The door is blue.',
    calls: [call()],
    tools: [],
    agents: [],
    ...changes,
  };
}

/** A turn whose first call runs two tools at once, one of which starts a subagent that runs a third. */
export function workingTurn(): Turn {
  const asks = call({
    stopReason: 'tool_use',
    text: '',
    ...said({
      output: [
        { type: 'thinking', thinking: 'I should look.', signature: 'x' },
        { type: 'tool_use', id: 'toolu_1', name: 'Bash', input: { command: 'ls' } },
        { type: 'tool_use', id: 'toolu_2', name: 'Task', input: { prompt: 'look around' } },
      ],
    }),
  });
  const subagent = call({
    requestId: 'r2',
    spanId: '2222222222222222',
    class: 'subagent',
    agentId: 'agent_1',
    model: 'claude-haiku-4-5-20251001',
    startedAt: START + 1_200,
    forwardedAt: START + 1_210,
    endedAt: START + 1_600,
    responseId: 'msg_2',
  });
  const answers = call({
    requestId: 'r3',
    spanId: '3333333333333333',
    startedAt: START + 2_000,
    forwardedAt: START + 2_010,
    endedAt: START + 3_000,
    responseId: 'msg_3',
    ...said({
      input: [
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', content: 'door.txt' },
            {
              type: 'tool_result',
              tool_use_id: 'toolu_2',
              content: [{ type: 'text', text: 'no door' }],
              is_error: true,
            },
          ],
        },
      ],
    }),
  });
  const between = { startedAt: START + 1_100, endedAt: START + 2_000, askedBy: 'r1', answeredBy: 'r3' };
  return turn({
    endedAt: START + 3_000,
    calls: [asks, subagent, answers],
    tools: [
      { ...between, id: 'toolu_1', name: 'Bash', isError: false },
      { ...between, id: 'toolu_2', name: 'Task', isError: true },
      { ...between, id: 'toolu_3', name: 'Read', askedBy: 'r2', isError: false, agentId: 'agent_1' },
    ],
    agents: [
      { id: 'agent_1', type: 'Explore', toolUseId: 'toolu_2', startedAt: START + 1_200, endedAt: START + 1_600 },
    ],
  });
}
