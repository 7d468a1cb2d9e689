import type { Edit } from '@loom/shared/edit.ts';
import type { LoomEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { MemorableStore, Seen } from './adapters/memorable-store.ts';
import { choose, type Layout } from './core/choose.ts';
import { tidy } from './core/memorables.ts';

/** The service's name: its consumer group, and whose outcomes it looks for. */
export const NAME = 'intro-injector';

/** How often a choice is made anew because other messages of the session were faster. */
const MAX_ATTEMPTS = 3;

/** The service's two decisions, over its store. */
export interface Injector {
  /**
   * Answers a request with at most one edit: a durable text block at the end of its newest message. The same anchor gets
   * the same bytes each time that it asks, whatever became of Intro's list.
   */
  propose(event: LoomEvent<'request.received'>): Promise<Edit[]>;
  /**
   * Notes what became of a block. One that did not go out gives its memorables back, for the next message. Deliveries
   * that are late, doubled or out of order do no harm: an anchor whose block was applied once keeps it.
   */
  settle(event: LoomEvent<'request.forwarded'>): Promise<void>;
  /** Gives the memorables of a request back that never went out: its client left while it was held. */
  giveBack(event: LoomEvent<'response.failed'>): Promise<void>;
}

/** Joins the store to the decisions in `core/`. A fault of the store rejects: the loop answers for it, or tries again. */
export function createInjector(store: MemorableStore, layout: Layout, log: Logger): Injector {
  const counters = { hits: 0, misses: 0, failed: 0, released: 0 };

  function take({ list, fault }: Seen, session: string): string[] {
    if (fault !== undefined) {
      // The list is another service's: a wrong type or a missing right there must not cost this request its hold.
      counters.failed += 1;
      log.warn("Intro's memorables cannot be read", { session, error: fault, counters });
    }
    return list;
  }

  async function compose(session: string, anchor: string, seen: Seen): Promise<string | undefined> {
    const { items, neutralised } = tidy(take(seen, session));
    let injected = new Set(seen.isInjected && items.filter(seen.isInjected));
    // One more where nothing was known for the first.
    const attempts = seen.isInjected ? MAX_ATTEMPTS : MAX_ATTEMPTS + 1;
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const { text, ...choice } = choose(items, injected, layout);
      if (!text) return miss('no memorable is new', { session, items: items.length, neutralised });

      const recorded = await store.record(session, anchor, { text, items: choice.items }, items);
      if ('injected' in recorded) {
        injected = recorded.injected;
        continue;
      }
      if (recorded.isFirst) log.info("the session has its first of Intro's memorables", { session });
      counters.hits += 1;
      const counts = { items: items.length, injected: choice.items.length, overBudget: choice.waiting, neutralised };
      log.debug('memorables proposed', { session, ...counts, counters });
      return recorded.text;
    }
    return miss('other messages were faster to take the memorables', { session, attempt: attempts });
  }

  function miss(reason: string, fields: Record<string, unknown>): undefined {
    counters.misses += 1;
    log.debug('no memorables proposed', { reason, ...fields, counters });
  }

  async function release(session: string, anchor: string, fields: Record<string, unknown>): Promise<void> {
    const freed = await store.release(session, anchor);
    counters.released += freed;
    if (freed > 0) log.info('memorables wait for the next message', { session, ...fields, released: freed });
  }

  return {
    async propose({ subject: session, data }) {
      const last = data.view?.last;
      if (!session || !last?.anchor || last.role !== 'user') return [];

      const seen = await store.look(session, last.anchor);
      const text = seen.text ?? (await compose(session, last.anchor, seen));
      if (!text) return [];
      return [{ op: 'add', path: `${last.pointer}/content/-`, value: { type: 'text', text }, durable: true }];
    },

    async settle({ subject: session, data: { anchor, edits, requestId } }) {
      const outcome = edits.find(({ rewriter }) => rewriter === NAME)?.outcome;
      if (!session || !anchor || !outcome || outcome === 'none') return;

      if (outcome === 'applied') return store.apply(session, anchor);
      await release(session, anchor, { requestId, outcome });
    },

    async giveBack({ subject: session, data: { anchor, requestId, endReason } }) {
      if (session && anchor) await release(session, anchor, { requestId, reason: endReason });
    },
  };
}
