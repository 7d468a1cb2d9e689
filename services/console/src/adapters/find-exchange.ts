import type { LoomEvent } from '@loom/shared/event.ts';
import type { Redis } from 'ioredis';
import { findEvent, pairsOf } from '../core/entry.ts';
import type { ExchangeEvents } from '../core/why.ts';

const PAGE = 200;

/** Walks a stream back from its newest entry; of what is not asked for, only the text is looked at. */
async function* walkBack(redis: Redis, key: string, mayFit: (fields: string[]) => boolean): AsyncGenerator<LoomEvent> {
  for (let end = '+'; ; ) {
    const entries = await redis.xrevrange(key, end, '-', 'COUNT', PAGE);
    for (const [id, fields] of entries) {
      const event = mayFit(fields) ? findEvent({ key, id, fields }) : undefined;
      if (event) yield event;
    }
    const last = entries.at(-1);
    if (!last || entries.length < PAGE) return;
    end = `(${last[0]}`;
  }
}

/**
 * The id of the request that is meant: by its own id, by the upstream's, or the newest of a session.
 *
 * @param words a request id, or how a session's id begins; empty: the newest request of all
 */
export async function findRequestId(redis: Redis, prefix: string, words: string): Promise<string | undefined> {
  let newest: string | undefined;
  const mayFit = (fields: string[]) => fields.some((field) => field.includes(words));
  for (const stream of ['responses', 'requests']) {
    for await (const { subject, data } of walkBack(redis, `${prefix}:${stream}`, mayFit)) {
      const { requestId, upstreamRequestId } = data as { requestId?: string; upstreamRequestId?: string | null };
      if (requestId === undefined) continue;
      if (words !== '' && (requestId === words || upstreamRequestId === words)) return requestId;
      if (subject.startsWith(words)) newest ??= requestId;
      if (words === '') return requestId;
    }
  }
  return newest;
}

/** All events of one exchange that its streams still hold. */
export async function readExchange(redis: Redis, prefix: string, requestId: string): Promise<ExchangeEvents> {
  const found: ExchangeEvents = { requestId, proposed: [], alerts: [] };
  const quoted = JSON.stringify(requestId);
  const mayFit = (fields: string[]) =>
    pairsOf(fields).some(([name, value]) => name === 'data' && value.includes(quoted));
  const walk = async (stream: string) => {
    for await (const event of walkBack(redis, `${prefix}:${stream}`, mayFit)) {
      if ((event.data as { requestId?: string }).requestId === requestId) put(found, event);
    }
  };
  for (const stream of ['responses', 'requests', 'alerts']) await walk(stream);
  const gateway = (found.received ?? found.forwarded ?? found.response)?.data.gateway;
  if (gateway !== undefined) await walk(`edits:${gateway}`);
  return found;
}

function put(found: ExchangeEvents, event: LoomEvent): void {
  switch (event.type) {
    case 'request.received':
      found.received = event;
      return;
    case 'request.forwarded':
      found.forwarded = event;
      return;
    case 'response.completed':
    case 'response.failed':
      found.response = event;
      return;
    case 'edits.proposed':
      found.proposed.push(event);
      return;
    case 'rewriter.bypassed':
    case 'identity.lost':
    case 'compaction.unrecognised':
      found.alerts.push(event);
  }
}
