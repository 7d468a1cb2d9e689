import { hash } from 'node:crypto';
import type { Logger } from '@loom/shared/log.ts';
import type { Headers } from '../core/identity.ts';
import { type Placed, type ReadRequest, shortHeader } from '../core/messages-request.ts';
import { NO_TRACE, type PlacedTrace, placeTrace } from '../core/place-trace.ts';
import { withTurn } from '../core/turn-record.ts';
import type { Metrics } from './metrics.ts';
import type { SessionRecord, SessionRecords } from './session-records.ts';

/** Finds a request's turn, and lets its session remember it for the requests that will not name theirs. */
export class TracePlacer {
  readonly #sessions: SessionRecords;
  readonly #metrics: Metrics;
  readonly #log: Logger;

  constructor(sessions: SessionRecords, metrics: Metrics, log: Logger) {
    this.#sessions = sessions;
    this.#metrics = metrics;
    this.#log = log;
  }

  place(read: ReadRequest, placed: Placed, headers: Headers): PlacedTrace {
    const { session, namedProfile } = read;
    const { turns = [] } = session === undefined ? {} : this.#sessions.peek(session);
    const agentId = shortHeader(headers, 'x-claude-code-agent-id');
    const place = this.#find(read, placed, headers, turns, agentId);
    if (session === undefined) return place;
    const { turn, isNewest } = place;
    if (turn && agentId !== undefined) this.#sessions.rememberAgent(session, agentId, turn);
    const isInTurn = placed.class !== 'auxiliary' && placed.class !== 'probe';
    this.#sessions.remember(session, {
      ...(namedProfile !== undefined && { profile: namedProfile }),
      ...(turn && isInTurn && { turns: withTurn(turns, turn, isNewest) }),
    });
    return place;
  }

  #find(
    read: ReadRequest,
    placed: Placed,
    headers: Headers,
    turns: NonNullable<SessionRecord['turns']>,
    agentId: string | undefined,
  ): PlacedTrace {
    const { session } = read;
    const agentTurn =
      session === undefined || agentId === undefined ? undefined : this.#sessions.turnOfAgent(session, agentId);
    try {
      return placeTrace({ read, placed, headers, turns, agentTurn }, (data) => hash('sha256', data));
    } catch (error) {
      // A trace of its own is better than no request.
      this.#metrics.factsFailed.add(1, { part: 'trace' });
      this.#log.error('a request is traced on its own, after a fault', { error });
      return NO_TRACE;
    }
  }
}
