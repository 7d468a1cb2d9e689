import { createHash, randomUUID } from 'node:crypto';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientVersion } from '@loom/shared/testing/claude-code/release.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { answer, apiError, type Reply, sse } from '@loom/shared/testing/reply.ts';
import type { RecordedRequest } from '@loom/shared/testing/upstream.ts';
import type { Redis } from './samples.ts';

/** Tells the scripted upstream what it is to do; Loom lets unknown headers through. */
const WISH = 'x-soak';
const VERSIONS: ClientVersion[] = ['2.1.330', '2.1.330', '2.1.118', '2.0.76', '1.0.128'];
/** Not the prompt cache's numbers: its memory is the soak's own. */
const usage = { input_tokens: 10, cache_creation_input_tokens: 5, cache_read_input_tokens: 80, output_tokens: 20 };
const TIMEOUT_MS = 30_000;
const ATTEMPTS = 60;
const RETRY_MS = 500;

/** The answer to a request of a soak. */
export function respond(request: RecordedRequest): Reply {
  const wish = request.headers[WISH];
  if (wish === 'fail') return apiError(529, 'overloaded_error', 'Overloaded', { 'retry-after': '0' });
  if (wish === 'slow') return sse({ text: 'A long answer that nobody waits for. '.repeat(20), usage, delayMs: 30 });
  return answer({ ...answerTo(wish), usage })(request);
}

function answerTo(wish: unknown): Answer {
  if (wish === 'tool') return { toolUses: [{ id: 'toolu_soak', name: 'Bash', input: { command: 'ls garden' } }] };
  if (wish === 'summary') return { text: '<summary>\nWe looked at the garden.\n</summary>' };
  return { text: 'The gate is mended.' };
}

/** What visitors count. */
export interface Visits {
  sessions: number;
  requests: number;
  aborted: number;
  /** Nobody listened: the gateway was being started again. */
  refused: number;
  /** What must not happen: said once each. */
  failed: string[];
}

export interface VisitorOptions {
  url: string;
  redis: Redis;
  /** Where transcripts lie, `CLAUDE_DATA_DIR`. */
  folder: string;
  /** The pause between two requests, milliseconds. */
  pauseMs: number;
  visits: Visits;
  signal: AbortSignal;
}

/** One number after the other, up to a last one; those who share it share the numbers. */
export function* upTo(last: number): Generator<number> {
  for (let number = 0; number < last; number++) yield number;
}

/** Opens one session after the other, each with something of everything, for each number or until it is told to stop. */
export async function visit(options: VisitorOptions, numbers: Iterable<number> = upTo(Infinity)): Promise<void> {
  for (const number of numbers) {
    if (options.signal.aborted) return;
    options.visits.sessions++;
    const visitor = new Visitor(options, VERSIONS[number % VERSIONS.length] as ClientVersion);
    try {
      await visitor.session(number);
    } catch (error) {
      if (options.signal.aborted) return;
      options.visits.failed.push(String(error));
    } finally {
      await visitor.leave();
    }
  }
}

class Visitor {
  readonly #options: VisitorOptions;
  readonly #client: ClaudeCode;
  readonly #version: ClientVersion;
  readonly #transcript: string;
  readonly #session = randomUUID();
  #lines = 0;

  constructor(options: VisitorOptions, version: ClientVersion) {
    this.#options = options;
    this.#version = version;
    this.#transcript = join(options.folder, 'projects/-soak', `${this.#session}.jsonl`);
    const hook = (prompt: string, session: string, promptId: string | undefined) => {
      const trace = createHash('sha256').update(`${session} ${prompt}`).digest('hex');
      const traceparent = `00-${trace.slice(0, 32)}-${trace.slice(32, 48)}-01`;
      const path = `/home/user/.claude/projects/-soak/${session}.jsonl`;
      const named = { session_id: session, source: 'alpha', prompt, traceparent, transcript_path: path };
      return formatMetadata({ ...named, ...(promptId && { prompt_id: promptId }) });
    };
    this.#client = new ClaudeCode({ version, session: this.#session, hintHeaders: version === '2.1.330', hook });
  }

  /** Turns with memorables and tools, an abort, a retry, background calls, a subagent, two compactions, a resume. */
  async session(number: number): Promise<void> {
    const client = this.#client;
    await this.#turn(`What of the garden, visit ${number}?`, 2);
    if (number % 2 === 0) await this.#send(client.title());
    await this.#turn('And the gate?', 1, 'fail');
    if (this.#version === '2.1.330') await this.#send(client.countTokens());
    await this.#send(client.subagent('Look at the basil.'));
    await this.#abort(client.prompt('Never mind.'));
    await this.#turn('I do mind.', 0);
    const isManual = number % 2 === 0;
    await this.#send(client.compact({ trigger: isManual ? 'manual' : 'auto' }), 'summary');
    client.compacted('<summary>\nWe looked at the garden.\n</summary>');
    if (!isManual) {
      await this.#send(client.continueAfterCompaction());
      client.receive(messageOf({ text: 'The gate is mended.' }));
    }
    await this.#turn('Where were we?', 1);
    client.resume();
    await this.#turn('Good night.', 0);
  }

  async leave(): Promise<void> {
    await rm(this.#transcript, { force: true });
  }

  async #turn(prompt: string, tools: number, first?: 'fail'): Promise<void> {
    const { redis } = this.#options;
    const key = `intro:memorables:${this.#session}`;
    // What a neighbour writes expires by its own hand.
    await redis.multi().del(key).rpush(key, `noticed before “${prompt}”`).expire(key, 60).exec();
    const request = this.#client.prompt(prompt);
    await this.#write('user', prompt);
    if (first) await this.#send(request, first);
    await this.#send(request, tools > 0 ? 'tool' : undefined);
    for (let call = 1; call <= tools; call++) {
      const used = messageOf(answerTo('tool'));
      await this.#send(this.#client.toolResults(used, ['basil.txt']), call < tools ? 'tool' : undefined);
    }
    this.#client.receive(messageOf(answerTo(undefined)));
    await this.#write('assistant', 'The gate is mended.');
  }

  /** Leaves in the middle of the answer. */
  async #abort(request: ClientRequest): Promise<void> {
    const leaving = new AbortController();
    try {
      await this.#fetch(request, 'slow', leaving.signal, async ({ body }) => {
        await body?.getReader().read();
        leaving.abort();
      });
    } catch (error) {
      if (!leaving.signal.aborted) throw error;
    }
    this.#options.visits.aborted++;
    await this.#pause();
  }

  async #send(request: ClientRequest, wish?: string): Promise<void> {
    const { status } = await this.#fetch(request, wish, AbortSignal.timeout(TIMEOUT_MS), (response) => response.text());
    const expected = wish === 'fail' ? 529 : 200;
    if (status !== expected) throw new Error(`expected ${expected} for ${request.path}, got ${status}`);
    await this.#pause();
  }

  /** As often as nobody listens: then the gateway is being started again, and the client's own retry helps. */
  async #fetch(
    { path, headers, ...request }: ClientRequest,
    wish: string | undefined,
    signal: AbortSignal,
    read: (response: Response) => Promise<unknown>,
  ): Promise<Response> {
    const { url, visits } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        const init = {
          ...request,
          body: new Uint8Array(request.body),
          headers: { ...headers, ...(wish && { [WISH]: wish }) },
        };
        const response = await fetch(url + path, { ...init, signal });
        await read(response);
        visits.requests++;
        return response;
      } catch (error) {
        if (this.#options.signal.aborted || signal.aborted || attempt >= ATTEMPTS) throw error;
        visits.refused++;
        await delay(RETRY_MS);
      }
    }
  }

  async #write(role: 'user' | 'assistant', content: string): Promise<void> {
    await mkdir(dirname(this.#transcript), { recursive: true });
    const line = { type: role, uuid: `${this.#session}-${this.#lines++}`, message: { role, content } };
    await appendFile(this.#transcript, `${JSON.stringify(line)}\n`);
  }

  async #pause(): Promise<void> {
    await delay(this.#options.pauseMs, undefined, { signal: this.#options.signal });
  }
}
