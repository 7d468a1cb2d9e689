import { setTimeout as pause } from 'node:timers/promises';
import { type DataOf, type EditOutcome, encodeEvent } from '@loom/shared/event.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { RewriterDeclaration } from '@loom/shared/rewriter.ts';
import { LRUCache } from 'lru-cache';
import { Breaker } from '../core/breaker.ts';
import type { Question } from '../core/match-wants.ts';
import type { PendingAnswers } from '../core/pending-answers.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Metrics } from './metrics.ts';
import type { RewriterRegistry } from './rewriter-registry.ts';

type SealedEvent = ReturnType<EventPublisher['seal']>;
type Proposal = DataOf<'edits.proposed'>;

/** What one rewriter said, or why it said nothing. */
export interface Answered {
  question: Question;
  outcome: EditOutcome['outcome'];
  waitedMs: number;
  proposal?: Proposal;
  reason?: string;
  /** Of the texts that it changed. */
  bytes?: { before: number; after: number };
}

/** A question that was held in vain once is not worth another long hold for the same message. */
const SECOND_HOLD_MS = 250;
const RESEND_MS = 50;

/** Decides whom to ask, asks them all at once, and waits for each no longer than it may take. */
export class EditHolds {
  readonly #registry: RewriterRegistry;
  readonly #publisher: EventPublisher;
  readonly #pending: PendingAnswers;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #breakers = new Map<string, Breaker>();
  readonly #heldInVain = new LRUCache<string, true>({ max: 10_000, ttl: 3_600_000 });
  readonly #sending = new Set<Promise<void>>();
  /** Questions that Redis took and that somebody is waited for. */
  readonly #open = new Map<SealedEvent, Wait[]>();

  constructor(options: {
    registry: RewriterRegistry;
    publisher: EventPublisher;
    pending: PendingAnswers;
    metrics: Metrics;
    log: Logger;
  }) {
    this.#registry = options.registry;
    this.#publisher = options.publisher;
    this.#pending = options.pending;
    this.#metrics = options.metrics;
    this.#log = options.log;
    // A Redis that comes back empty has lost the questions.
    this.#publisher.onReady(() => {
      for (const [sealed, waits] of this.#open) if (waits.some(isOpenWait)) this.#begin(sealed, waits);
    });
  }

  /** The open breakers, by rewriter. */
  get openBreakers(): string[] {
    return [...this.#breakers].filter(([, breaker]) => breaker.isOpen).map(([name]) => name);
  }

  /**
   * Splits questions into those that are asked and those that are known to be vain: nobody there, breaker open. A rewriter
   * whose loss cannot be undone (`whenAbsent: wait`) is waited for although it is not there, once for each message.
   */
  choose(questions: Question[], subjectOf: (question: Question) => string): { asked: Asked[]; passed: Answered[] } {
    const asked: Asked[] = [];
    const passed: Answered[] = [];
    for (const question of questions) {
      const { rewriter } = question;
      const subject = `${rewriter.name} ${subjectOf(question)}`;
      const wasInVain = this.#heldInVain.has(subject);
      const waits = rewriter.whenAbsent === 'wait' && !wasInVain;
      const isLive = this.#registry.isLive(rewriter.name);
      if (!isLive && !waits) passed.push({ question, outcome: 'absent', waitedMs: 0 });
      else if (!waits && !this.#breaker(rewriter).allows(Date.now()))
        passed.push({ question, outcome: 'skipped', waitedMs: 0 });
      else
        asked.push({
          question,
          subject,
          waits,
          holdMs: wasInVain ? Math.min(SECOND_HOLD_MS, rewriter.holdMs) : rewriter.holdMs,
        });
    }
    return { asked, passed };
  }

  /**
   * Publishes the question and waits for every answer, each up to its deadline.
   *
   * @param gone aborts when the client has left: then nothing is waited for, and the answers do not matter
   */
  async ask(requestId: string, asked: Asked[], sealed: SealedEvent, gone: AbortSignal): Promise<Answered[]> {
    const startedMs = performance.now();
    const waits = asked.map((one) => this.#wait(requestId, one, gone, startedMs));
    // Not awaited: a Redis that takes its time must not hold a request beyond its deadlines.
    this.#begin(sealed, waits);
    const answers = await Promise.all(waits.map(({ promise }) => promise));
    this.#open.delete(sealed);
    this.#metrics.held.record((performance.now() - startedMs) / 1_000);
    return answers;
  }

  /** Waits until each question that was asked is in Redis or in the spool. */
  async close(): Promise<void> {
    await Promise.all(this.#sending);
  }

  #begin(sealed: SealedEvent, waits: Wait[]): void {
    this.#open.delete(sealed);
    const sending = this.#send(sealed, waits).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  /** Sends the question; while Redis is away, again and again for whoever is waited for, and not at all for the others. */
  async #send(sealed: SealedEvent, waits: Wait[]): Promise<void> {
    while (waits.some((wait) => !wait.isSettled())) {
      try {
        await this.#publisher.send(sealed);
        if (waits.some(isOpenWait)) this.#open.set(sealed, waits);
        return;
      } catch (error) {
        this.#log.debug('a question to the rewriters was not taken by Redis', { error });
        for (const wait of waits) if (!wait.waits) wait.settle({ outcome: 'unreachable' });
        // Without a pause where nobody waits: a crash must not find the event nowhere but in memory.
        if (waits.some((wait) => !wait.isSettled())) await pause(RESEND_MS);
      }
    }
    // Nobody can answer any more, but the request is a fact all the same.
    this.#publisher.spool(asFact(sealed));
  }

  #wait(requestId: string, { question, subject, waits, holdMs }: Asked, gone: AbortSignal, startedMs: number): Wait {
    const { rewriter } = question;
    const breaker = this.#breaker(rewriter);
    const { promise, resolve } = Promise.withResolvers<Answered>();
    let isSettled = false;
    const settle = (end: Pick<Answered, 'outcome'> & Partial<Answered>) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      gone.removeEventListener('abort', onGone);
      this.#pending.withdraw(requestId, rewriter.name);
      if (end.proposal) breaker.succeeded();
      // A Redis that refuses at once says nothing about the rewriter, and costs nothing.
      else if (gone.aborted || end.outcome === 'unreachable') breaker.abandoned();
      else {
        breaker.missed(Date.now());
        if (waits) this.#heldInVain.set(subject, true);
      }
      resolve({ question, waitedMs: Math.round(performance.now() - startedMs), ...end });
    };
    const onGone = () => settle({ outcome: 'late', reason: 'the client left' });
    const timer = setTimeout(
      () => settle({ outcome: this.#registry.isLive(rewriter.name) ? 'late' : 'absent' }),
      holdMs,
    );
    gone.addEventListener('abort', onGone);
    if (gone.aborted) onGone();
    this.#pending.open(requestId, rewriter.name, (proposal) => settle({ outcome: 'none', proposal }));
    return { promise, settle, waits, isSettled: () => isSettled };
  }

  /** Gives questions up that were chosen and cannot be asked. */
  abandon(asked: Asked[]): void {
    for (const { question } of asked) this.#breaker(question.rewriter).abandoned();
  }

  #breaker({ name }: RewriterDeclaration): Breaker {
    let breaker = this.#breakers.get(name);
    if (!breaker) {
      breaker = new Breaker();
      this.#breakers.set(name, breaker);
    }
    return breaker;
  }
}

/** A question on its way, how long it may take, and whether it is also waited for when nobody is there. */
export interface Asked {
  question: Question;
  /** What it is about: a long hold is granted once for it. */
  subject: string;
  waits: boolean;
  holdMs: number;
}

interface Wait {
  promise: Promise<Answered>;
  settle: (end: Pick<Answered, 'outcome'> & Partial<Answered>) => void;
  isSettled: () => boolean;
  waits: boolean;
}

/** Whether it is one that goes on although Redis or the rewriter is away. */
function isOpenWait(wait: Wait): boolean {
  return wait.waits && !wait.isSettled();
}

/** The same event, awaiting nobody: published late, it must not be answered as if it were asked just then. */
function asFact(sealed: SealedEvent): SealedEvent {
  if (sealed.event.type !== 'request.received') return sealed;
  const event = { ...sealed.event, data: { ...sealed.event.data, awaited: [] } };
  return { ...sealed, event, fields: encodeEvent(event) };
}
