import type { DataOf, LoomEvent } from '@loom/shared/event.ts';

const exchange = { gateway: 'g1', class: 'main', profile: 'alpha', model: 'claude-opus-4-6' } as const;

/** A request that went out unedited; `data` changes it. */
export function forwarded(requestId: string, data: Partial<DataOf<'request.forwarded'>> = {}): LoomEvent {
  return {
    ...envelope(`${requestId}-forwarded`),
    type: 'request.forwarded',
    data: {
      ...exchange,
      requestId,
      bytesIn: 1_000,
      bytesOut: 1_000,
      metadataBlocks: 0,
      replayed: 0,
      edits: [],
      heldMs: 0,
      ...data,
    },
  };
}

/** An answer of two seconds that ends the turn; `data` changes it. */
export function completed(
  requestId: string,
  data: Partial<DataOf<'response.completed'>> = {},
): LoomEvent<'response.completed'> {
  return {
    ...envelope(`${requestId}-completed`),
    type: 'response.completed',
    data: {
      ...exchange,
      requestId,
      status: 200,
      upstreamRequestId: 'req_1',
      responseId: 'msg_1',
      stopReason: 'end_turn',
      usage: {
        input_tokens: 100,
        cache_creation_input_tokens: 400,
        cache_read_input_tokens: 9_500,
        output_tokens: 300,
      },
      text: 'Done.',
      textTruncated: false,
      toolUses: [],
      firstByteMs: 500,
      durationMs: 2_000,
      bytes: 5_000,
      ...data,
    },
  };
}

/** The same answer, cut short. */
export function failed(requestId: string, data: Partial<DataOf<'response.failed'>> = {}): LoomEvent {
  return {
    ...completed(requestId),
    type: 'response.failed',
    data: {
      ...completed(requestId).data,
      stopReason: null,
      endReason: 'client_closed',
      errorType: null,
      ...data,
    },
  };
}

/** The same event under another trace, the session's next turn. */
export function inNextTrace<E extends LoomEvent>(event: E): E {
  return { ...event, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
}

function envelope(id: string) {
  return {
    id,
    source: '/loom/gateway/g1',
    subject: '3f2a91c0-5b1e-4e0c-9f1a-2d6b8c7e4f10',
    time: '2026-01-01T00:00:10.000Z',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  };
}
