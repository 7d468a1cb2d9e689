import type { LoomEvent } from '@loom/shared/event.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { Stack } from './stack.ts';
import type { Exchange } from './talk.ts';

/** What was published about one exchange. */
export interface Published {
  received: LoomEvent<'request.received'>;
  forwarded: LoomEvent<'request.forwarded'>;
  completed: LoomEvent<'response.completed'>;
}

/** The events of each exchange, in the exchanges' order; rejects when one of them does not come. */
export async function publishedFor(stack: Stack, exchanges: Exchange[]): Promise<Published[]> {
  return until(async () => {
    const [received, forwarded, completed] = await Promise.all([
      stack.events('request.received'),
      stack.events('request.forwarded'),
      stack.events('response.completed'),
    ]);
    return exchanges.map((exchange) => {
      const upstreamRequestId = `req_01Scripted${String(exchange.forwarded.ordinal).padStart(6, '0')}`;
      const end = one(completed.filter(({ data }) => data.upstreamRequestId === upstreamRequestId));
      const { requestId } = end.data;
      return {
        received: one(received.filter(({ data }) => data.requestId === requestId)),
        forwarded: one(forwarded.filter(({ data }) => data.requestId === requestId)),
        completed: end,
      };
    });
  });
}

export function traceIdOf({ traceparent }: LoomEvent): string | undefined {
  return traceparent.split('-')[1];
}

function one<T>(events: T[]): T {
  const [event, ...more] = events;
  if (event === undefined || more.length > 0)
    throw new Error(`expected one event of an exchange, got ${events.length}`);
  return event;
}
