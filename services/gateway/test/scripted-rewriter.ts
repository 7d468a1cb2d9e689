import type { Edit } from '@loom/shared/edit.ts';
import { type DataOf, decodeEvent, type LoomEvent } from '@loom/shared/event.ts';
import type { RewriterDeclaration, RewriterOptions } from '@loom/shared/rewriter.ts';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import type { Redis } from 'ioredis';

export type Question = LoomEvent<'request.received'>;
type Proposal = DataOf<'edits.proposed'>;

/** What a rewriter says to a question: the field lists of stream entries, sent as they are. None: it says nothing. */
export type Behaviour = (question: Question, name: string) => string[][] | Promise<string[][]>;

export interface ScriptedRewriter {
  readonly name: string;
  /** What it was asked, in order. */
  readonly questions: Question[];
  /** May be replaced at any time. */
  behaviour: Behaviour;
  /** Says that it is there: until `withdraw`, or until Redis forgets. */
  announce(): Promise<void>;
  /** Is not there any more, but its declaration stays. */
  withdraw(): Promise<void>;
  /** Answers nothing from now on; the connections close with the server. */
  stop(): void;
}

const DECLARED: RewriterOptions = {
  order: 10,
  holdMs: 10_000,
  whenAbsent: 'forward',
  profiles: ['alpha'],
  wants: [{ on: 'human' }],
  view: ['last'],
};

/**
 * A rewriter that does as it is told, also what no rewriter should: speaks to Redis by itself, without the run loop.
 *
 * @example
 * const rewriter = await startRewriter(redis, { name: 'scribe', behaviour: appends('Noted.') });
 */
export async function startRewriter(
  server: RedisServer,
  { name, behaviour = appends(`Edited by ${name}.`), ...declared }: RewriterScript,
): Promise<ScriptedRewriter> {
  const commands = server.client();
  const reading = server.client();
  const declaration: RewriterDeclaration = { ...DECLARED, ...declared, name };
  let isStopped = false;
  const rewriter: ScriptedRewriter = {
    name,
    questions: [],
    behaviour,
    async announce() {
      await commands.hset('loom:rewriters', name, JSON.stringify(declaration));
      await commands.set(`loom:rewriter:${name}`, 'scripted', 'EX', 3_600);
    },
    async withdraw() {
      await commands.del(`loom:rewriter:${name}`);
    },
    stop() {
      isStopped = true;
    },
  };
  await rewriter.announce();
  void readOn(reading, (event) => {
    if (!isStopped) void answer(commands, rewriter, event);
  });
  return rewriter;
}

export type RewriterScript = Partial<RewriterOptions> & { name: string; behaviour?: Behaviour };

/** Leaves the declaration of a rewriter that is not there. */
export async function declareRewriter(server: RedisServer, { name, behaviour: _, ...declared }: RewriterScript) {
  await server.client().hset('loom:rewriters', name, JSON.stringify({ ...DECLARED, ...declared, name }));
}

/** Answers as a rewriter should. */
export function proposes(...edits: Edit[]): Behaviour {
  return (question, name) => [proposal(question, name, { edits })];
}

/** An answer that differs from a good one in these fields. */
export function proposal({ data, subject }: Question, rewriter: string, changes: Partial<Proposal> = {}): string[] {
  const answer = { requestId: data.requestId, rewriter, replica: 'scripted', bodySha256: data.body.sha256, edits: [] };
  return answerEntry(subject, JSON.stringify({ ...answer, ...changes }));
}

/** An entry that is an answer by its envelope. */
export function answerEntry(subject: string, data: string): string[] {
  const envelope = { specversion: '1.0', id: crypto.randomUUID(), source: '/test', type: 'edits.proposed', subject };
  const rest = { time: '2026-01-01T00:00:00Z', datacontenttype: 'application/json', traceparent: TRACEPARENT, data };
  return Object.entries({ ...envelope, ...rest }).flat();
}

const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** Adds a durable text block to the newest message, as memorables are. */
export function appends(text: string): Behaviour {
  return (question, name) => {
    const path = `${question.data.view?.last?.pointer}/content/-`;
    const edits: Edit[] = [{ op: 'add', path, value: { type: 'text', text }, durable: true }];
    return [proposal(question, name, { edits })];
  };
}

async function readOn(reading: Redis, take: (event: Question) => void): Promise<void> {
  let lastId = '0-0';
  while (reading.status !== 'end') {
    try {
      const reply = await reading.xread('BLOCK', 1_000, 'STREAMS', 'loom:requests', lastId);
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        lastId = id;
        const event = decodeEvent(fields);
        if (event.type === 'request.received') take(event);
      }
    } catch {
      // The server was closed, and its clients with it.
    }
  }
}

async function answer(commands: Redis, rewriter: ScriptedRewriter, question: Question): Promise<void> {
  if (!question.data.awaited.some((awaited) => awaited.rewriter === rewriter.name)) return;
  rewriter.questions.push(question);
  try {
    for (const fields of await rewriter.behaviour(question, rewriter.name))
      await commands.xadd(question.data.replyStream, '*', ...fields);
  } catch {
    // Redis refuses, or the test is over: a rewriter that could not answer is one that did not.
  }
}
