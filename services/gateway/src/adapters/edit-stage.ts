import { hash } from 'node:crypto';
import type { CaptureMode, Draft, EditOutcome } from '@loom/shared/event.ts';
import { scrub } from '@loom/shared/redaction.ts';
import { context } from '@opentelemetry/api';
import { showBlocks } from '../core/apply-edits.ts';
import type { BodyTree, Message } from '../core/body-tree.ts';
import { type Headers, PASSTHROUGH } from '../core/identity.ts';
import { replayLedger } from '../core/ledger.ts';
import { matchWants, type Question } from '../core/match-wants.ts';
import { describeRequest, type Placed, type ReadRequest } from '../core/messages-request.ts';
import { type BodyParts, renderParts } from '../core/splice.ts';
import { type Asking, takeAnswer } from '../core/take-answer.ts';
import { viewFor } from '../core/view.ts';
import { BodySha256 } from './body-sha256.ts';
import type { Answered, Asked, EditHolds } from './edit-holds.ts';
import type { EventPublisher } from './event-publisher.ts';
import type { Exchange } from './exchange.ts';
import type { LedgerStore } from './ledger-store.ts';
import type { Metrics } from './metrics.ts';
import type { RewriterRegistry } from './rewriter-registry.ts';

/** A request on its way through the stage. */
export interface StageRequest {
  requestId: string;
  path: string;
  headers: Headers;
  bytes: Buffer;
  read: ReadRequest;
  placed: Placed;
  /** What `recall` returned. */
  recalled: Promise<void> | undefined;
  /** What is published is of it; begun by whoever first asks for it, which is best done behind the request's back. */
  exchange: Pick<Exchange, 'trace' | 'ownsBlock' | 'context' | 'parent'>;
  /** Aborts when the client has left. */
  gone: AbortSignal;
}

/** What goes upstream, and what was done to it. */
export interface Staged {
  body: BodyParts;
  /** Where it is known already. */
  sha256?: BodySha256 | undefined;
  replayed: number;
  edits: EditOutcome[];
  heldMs: number;
  /** Rewriters whose loss cannot be undone (`whenAbsent: wait`) and that did not get to edit. */
  lost: { rewriter: string; labels: string[]; waitedMs: number; outcome: string }[];
}

const sha256 = (data: string | Uint8Array) => hash('sha256', data);

/** Replays durable edits, publishes the request, waits for the edits it is worth waiting for, and renders the body. */
export class EditStage {
  readonly #gateway: string;
  readonly #capture: CaptureMode;
  readonly #replyStream: string;
  readonly #registry: RewriterRegistry;
  readonly #ledger: LedgerStore;
  readonly #holds: EditHolds;
  readonly #publisher: EventPublisher;
  readonly #metrics: Metrics;

  constructor(options: {
    gateway: string;
    capture: CaptureMode;
    replyStream: string;
    registry: RewriterRegistry;
    ledger: LedgerStore;
    holds: EditHolds;
    publisher: EventPublisher;
    metrics: Metrics;
  }) {
    this.#gateway = options.gateway;
    this.#capture = options.capture;
    this.#replyStream = options.replyStream;
    this.#registry = options.registry;
    this.#ledger = options.ledger;
    this.#holds = options.holds;
    this.#publisher = options.publisher;
    this.#metrics = options.metrics;
  }

  /**
   * Begins to read what Redis knows of the durable edits that a request is to get, so that it comes in while the request
   * is made ready; undefined where there is nothing to read. Never rejects.
   */
  recall(read: ReadRequest, placed: Placed): Promise<void> | undefined {
    return isConversation(placed) ? this.#recall(read, placed) : undefined;
  }

  #recall({ tree, session }: ReadRequest, { profile, anchors, merged }: Placed): Promise<void> | undefined {
    if (!tree || !session || profile === PASSTHROUGH) return undefined;
    const rewriters = this.#registry.declarations.map(({ name }) => name);
    return this.#ledger.load(session, [...anchors.values(), ...merged.values()].flat(), rewriters);
  }

  /**
   * Replays what earlier requests of the session were given, without asking anyone. `count_tokens` needs no more: its
   * number is then what will be billed, whatever part of the conversation the client has counted.
   *
   * @param recalled what `recall` returned, where it was called before
   */
  async replay(read: ReadRequest, placed: Placed, recalled = this.#recall(read, placed)): Promise<number> {
    const { tree, session } = read;
    if (!tree || !session || placed.profile === PASSTHROUGH) return 0;
    await recalled;
    const { replayed, missed } = replayLedger(
      tree,
      placed.anchors,
      (anchor) => this.#ledger.entriesAt(session, anchor),
      sha256,
      placed.merged,
    );
    this.#metrics.ledgerReplayed.add(replayed);
    this.#metrics.ledgerMissed.add(missed);
    return replayed;
  }

  async run(request: StageRequest): Promise<Staged> {
    const { read, placed } = request;
    const { tree } = read;
    const replayed = isConversation(placed) ? await this.replay(read, placed, request.recalled) : 0;
    const questions = tree ? this.#questions(tree, read.session, placed) : [];
    const { asked, passed } = this.#holds.choose(questions, (question) => subjectOf(question, request));
    if (!tree || asked.length === 0) {
      this.#publisher.publish(() => this.#received(request, [], undefined), request.exchange.parent);
      return {
        body: tree ? renderParts(tree) : [request.bytes],
        replayed,
        edits: passed.map(outcomeOf),
        heldMs: 0,
        lost: lostOf(passed),
      };
    }

    const { base, baseSha256, sealed } = this.#seal(tree, request, asked);
    const startedMs = performance.now();
    const answering = context.with(request.exchange.context, () =>
      this.#holds.ask(request.requestId, asked, sealed, request.gone),
    );
    const shown = showBlocks(tree);
    const answers = await answering;
    const heldMs = Math.round(performance.now() - startedMs);
    const asking: Asking = {
      bodySha256: baseSha256.hex,
      shown,
      class: placed.class,
      anchors: placed.anchors,
      sha256,
    };
    const session = read.session as string;
    const all = [...answers, ...passed].map((answer) => this.#take(tree, answer, session, asking));
    const edits = all.map(outcomeOf);
    const isChanged = edits.some(({ outcome }) => outcome === 'applied');
    return {
      body: isChanged ? renderParts(tree) : base,
      sha256: isChanged ? undefined : baseSha256,
      replayed,
      edits,
      heldMs,
      lost: lostOf(all),
    };
  }

  /** The question, and the body that it is about. */
  #seal(tree: BodyTree, request: StageRequest, asked: Asked[]) {
    try {
      const base = renderParts(tree);
      const baseSha256 = new BodySha256(base);
      const sealed = this.#publisher.seal(this.#received(request, asked, baseSha256.hex), request.exchange.context);
      return { base, baseSha256, sealed };
    } catch (error) {
      // A probe that is never sent would keep its breaker open for good.
      this.#holds.abandon(asked);
      throw error;
    }
  }

  #questions(tree: BodyTree, session: string | undefined, placed: Placed): Question[] {
    if (!session || placed.profile === PASSTHROUGH) return [];
    const isAnswered = (message: Message, rewriter: string) => {
      const anchor = placed.anchors.get(message);
      return (
        anchor !== undefined && this.#ledger.entriesAt(session, anchor).some((entry) => entry.rewriter === rewriter)
      );
    };
    return matchWants(tree, { class: placed.class, profile: placed.profile, isAnswered }, this.#registry.declarations);
  }

  /** Applies one rewriter's answer and remembers it; says what became of it. */
  #take(tree: BodyTree, answer: Answered, session: string, asking: Asking): Answered {
    const { question, proposal } = answer;
    if (!proposal) {
      for (const message of question.messages) {
        const anchor = asking.anchors.get(message);
        if (anchor) this.#ledger.recheck(session, anchor);
      }
      return answer;
    }
    const { records, outcome, reason, bytes } = takeAnswer(tree, question, proposal, asking);
    for (const { anchor, entry } of records) this.#ledger.record(session, anchor, entry);
    return { ...answer, outcome, ...(bytes && { bytes }), ...(reason !== undefined && { reason: scrub(reason) }) };
  }

  #received(request: StageRequest, asked: Asked[], baseSha256: string | undefined): Draft {
    const { read, placed, headers, bytes, path, requestId } = request;
    const { trace, ownsBlock } = request.exchange;
    const description = describeRequest(read, headers, bytes.length, ownsBlock);
    const questions = asked.map(({ question }) => question);
    return {
      type: 'request.received',
      subject: read.session ?? '',
      data: {
        ...description,
        requestId,
        gateway: this.#gateway,
        class: placed.class,
        profile: placed.profile,
        trace,
        capture: this.#capture,
        replyStream: this.#replyStream,
        awaited: asked.map(({ question, holdMs }) => ({
          rewriter: question.rewriter.name,
          holdMs,
          labels: question.labels,
        })),
        path,
        body: { ...description.body, ...(baseSha256 && { sha256: baseSha256 }) },
        ...(read.tree && asked.length > 0 && { view: viewFor(read.tree, questions, placed.anchors) }),
      },
    };
  }
}

/** Only such a request is anybody's to edit. */
function isConversation({ class: requestClass }: Placed): boolean {
  return requestClass === 'main' || requestClass === 'compaction';
}

/** What a question is about: messages, by anchors that say which conversation it is, too; else the conversation so far. */
function subjectOf({ labels, messages }: Question, { read, placed: { anchors } }: StageRequest): string {
  const about = messages.flatMap((message) => anchors.get(message) ?? []);
  return [read.session, ...labels, ...(about.length > 0 ? about : [...anchors.values()].slice(-1))].join(' ');
}

function outcomeOf({ question, outcome, waitedMs, proposal, reason, bytes }: Answered): EditOutcome {
  const operations = outcome === 'applied' ? (proposal?.edits.filter(({ op }) => op !== 'test').length ?? 0) : 0;
  return {
    rewriter: question.rewriter.name,
    outcome,
    operations,
    waitedMs,
    labels: question.labels,
    ...(bytes && { bytesBefore: bytes.before, bytesAfter: bytes.after }),
    ...(reason !== undefined && { reason }),
  };
}

function lostOf(answers: Answered[]): Staged['lost'] {
  return answers
    .filter(
      ({ question, outcome }) => question.rewriter.whenAbsent === 'wait' && outcome !== 'applied' && outcome !== 'none',
    )
    .map(({ question, outcome, waitedMs }) => ({
      rewriter: question.rewriter.name,
      labels: question.labels,
      waitedMs,
      outcome,
    }));
}
