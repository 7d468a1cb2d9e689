import { createHash } from 'node:crypto';
import type { Answer } from '@loom/shared/testing/answer.ts';
import { apiError, type Reply, sse } from '@loom/shared/testing/reply.ts';
import type { RecordedRequest } from '@loom/shared/testing/upstream.ts';

/** How many conversations and turns differ; more of them are the same again. */
export const CONVERSATIONS = 4;
export const TURNS = 4;

/** One answer of the conversation: which conversation, which turn, which call of it. */
export interface Place {
  conversation: number;
  turn: number;
  call: number;
}

/**
 * What the model says at a place: follows from seed and place alone, so that a call which is repeated is answered and
 * billed alike, and two runs of one conversation have the same sums.
 */
export function answerAt(seed: number, { conversation, turn, call }: Place): Answer {
  const of = (what: string, below: number) => {
    const text = `${seed} ${conversation % CONVERSATIONS} ${turn} ${call} ${what}`;
    return createHash('sha256').update(text).digest().readUInt32BE() % below;
  };
  const usage = {
    input_tokens: 1 + of('input', 50),
    cache_creation_input_tokens: of('write', 2_000),
    cache_read_input_tokens: of('read', 50_000),
    output_tokens: 10 + of('output', 500),
  };
  if (call >= callsOf(seed, { conversation, turn }) - 1)
    return {
      text: `All is well in the garden, says answer ${call} of turn ${turn}. `.repeat(1 + of('words', 4)),
      usage,
    };
  const id = `toolu_c${conversation}_t${turn}_k${call}`;
  return { text: 'I look.', toolUses: [{ id, name: 'Bash', input: { command: 'ls garden' } }], usage };
}

/** How many calls a turn has: 1 to 3. */
export function callsOf(seed: number, { conversation, turn }: Omit<Place, 'call'>): number {
  const text = `${seed} ${conversation % CONVERSATIONS} ${turn} calls`;
  return 1 + (createHash('sha256').update(text).digest().readUInt32BE() % 3);
}

export function promptOf({ conversation, turn }: Omit<Place, 'call'>): string {
  return `This is prompt c${conversation}_t${turn} of the garden.`;
}

/** Where a request stands: by the newest tool result, or the newest prompt. */
export function placeOf(body: Buffer): Place | undefined {
  const text = body.toString();
  const tool = text.lastIndexOf('"tool_use_id":"toolu_c');
  const prompt = text.lastIndexOf('This is prompt c');
  const found = /c(\d+)_t(\d+)(?:_k(\d+))?/.exec(text.slice(Math.max(tool, prompt)));
  if (!found) return undefined;
  const [, conversation, turn, call] = found;
  return { conversation: Number(conversation), turn: Number(turn), call: tool > prompt ? Number(call) + 1 : 0 };
}

/** The scripted API: streams the answer in some pieces, so that there is a middle to be hit. */
export function scriptOf(seed: number): (request: RecordedRequest) => Reply {
  return (request) => {
    const place = placeOf(request.body);
    if (!place) return apiError(400, 'invalid_request_error', 'expected a prompt of the faults, got another one');
    const headers = { 'request-id': upstreamId(request.ordinal) };
    const { model } = request.json();
    const named = model === undefined ? {} : { model };
    return sse({ id: `msg_${request.ordinal}`, ...named, ...answerAt(seed, place), delayMs: 5, headers });
  };
}

export function upstreamId(ordinal: number): string {
  return `req_${ordinal}`;
}
