import { formatMetadata } from '@loom/shared/metadata.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { placeRequest, readRequest } from '../../src/core/messages-request.ts';
import { type PlacedTrace, placeTrace } from '../../src/core/place-trace.ts';
import { type TurnRecord, withTurn } from '../../src/core/turn-record.ts';
import { acceptAll, sha256 } from './fixtures/body.ts';

/** The ids that the hook gives its nth prompt. */
export const hookTurn = (prompt: number) => ({
  traceId: sha256(`trace ${prompt}`).slice(0, 32),
  rootSpanId: sha256(`root ${prompt}`).slice(0, 16),
});

/** A gateway's memory of one session, and what it makes of the requests that it is given. */
export class Placer {
  turns: TurnRecord[] = [];

  /** @param headers go over the client's own */
  place(request: ClientRequest, headers: Record<string, string> = {}): PlacedTrace & { class: string } {
    const own = Object.entries({ ...request.headers, ...headers }).map(([name, value]) => [name.toLowerCase(), value]);
    const lowerCase = Object.fromEntries(own);
    const read = readRequest(request.body, lowerCase, acceptAll);
    const placed = placeRequest(read, lowerCase, { turns: this.turns }, sha256);
    const signs = { read, placed, headers: lowerCase, turns: this.turns, agentTurn: undefined };
    const place = placeTrace(signs, sha256);
    const isInTurn = placed.class !== 'auxiliary' && placed.class !== 'probe';
    if (place.turn && isInTurn) this.turns = withTurn(this.turns, place.turn, place.isNewest);
    return { ...place, class: placed.class };
  }

  /** Class, origin and turn of a request. */
  tell(request: ClientRequest, headers?: Record<string, string>): [string, string, string | undefined] {
    const { class: requestClass, origin, traceId, rootSpanId } = this.place(request, headers);
    return [requestClass, origin, rootSpanId && `${traceId}-${rootSpanId}`];
  }
}

/** A client whose hook names a turn for each prompt; `silent` prompts get no word from it. */
export function hookedClient(options: ClaudeCodeOptions, silent: number[] = []): ClaudeCode {
  let prompts = 0;
  return new ClaudeCode({
    ...options,
    hook: (prompt, session, promptId) => {
      prompts++;
      const { traceId, rootSpanId } = hookTurn(prompts);
      if (silent.includes(prompts)) return undefined;
      return formatMetadata({
        session_id: session,
        traceparent: `00-${traceId}-${rootSpanId}-01`,
        prompt,
        ...(promptId && { prompt_id: promptId }),
      });
    },
  });
}

export const keyOf = ({ traceId, rootSpanId }: { traceId: string; rootSpanId: string }) => `${traceId}-${rootSpanId}`;
