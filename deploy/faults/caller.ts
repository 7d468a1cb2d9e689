import { createHash, randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import { answerAt, callsOf, type Place, promptOf, TURNS } from './script.ts';

/** A turn as the client saw it to its end. */
export interface SeenTurn {
  /** Names it on the bus. */
  key: string;
  /** Which conversation and turn it is, wherever it is told again. */
  shape: string;
  /** The API's request ids of the answers that the client got whole. */
  answers: string[];
  text: string;
}

/** What a fault is run under: what the clients of it did and saw. */
export class Account {
  readonly turns: SeenTurn[] = [];
  /** Of the transcripts' lines. */
  readonly lines: string[] = [];
  calls = 0;
  /** What the SDK, or the client after it, did not take for an answer; how often. */
  readonly troubles = new Map<string, number>();
  /** Calls that got no answer in the end. */
  unanswered = 0;

  trouble(what: string): void {
    this.troubles.set(what, (this.troubles.get(what) ?? 0) + 1);
  }
}

export interface CallerOptions {
  seed: number;
  conversation: number;
  /** Names the run: no other has the same sessions. */
  run: string;
  baseURL: string;
  /** `CLAUDE_DATA_DIR`. */
  transcripts: string;
  account: Account;
}

/** As often as the client asks again, after the SDK has done so twice. */
const MAX_ATTEMPTS = 40;

/**
 * A Claude Code that converses by the real SDK, with the SDK's own retries, and asks again as the client does when an
 * answer breaks off. Its transcript gets a line for each prompt and answer.
 */
export class Caller {
  readonly #options: CallerOptions;
  readonly #sdk: Anthropic;
  #claude: ClaudeCode;
  #generation = 0;
  #turn = 0;
  #key = '';

  constructor(options: CallerOptions) {
    this.#options = options;
    const { baseURL, account } = options;
    this.#sdk = new Anthropic({
      baseURL,
      apiKey: 'faults',
      fetch: async (url, init) => {
        const response = await fetch(url, init).catch((error: Error) => {
          account.trouble(reasonOf(error));
          throw error;
        });
        if (!response.ok) account.trouble(`${response.status} ${response.headers.get('x-loom-error') ?? ''}`.trim());
        return response;
      },
    });
    this.#claude = this.#begin();
  }

  get #session(): string {
    return uuidOf(`${this.#options.run} ${this.#options.conversation} ${this.#generation}`);
  }

  /** The next turn of the conversation, begun anew when it is told; resolves when the client has its answer. */
  async turn(): Promise<void> {
    const { seed, conversation, account } = this.#options;
    const place = { conversation, turn: this.#turn };
    const prompt = promptOf(place);
    let request = this.#claude.prompt(prompt);
    this.#note('user', prompt);
    const answers: string[] = [];
    let text = '';
    for (let call = 0; call < callsOf(seed, place); call++) {
      const at: Place = { ...place, call };
      const answered = await this.#ask(request);
      if (answered === undefined) {
        account.unanswered += 1;
        return;
      }
      answers.push(answered.id);
      text = answered.text;
      const answer = answerAt(seed, at);
      this.#note('assistant', text);
      if (answer.toolUses) request = this.#claude.toolResults(messageOf(answer), ['Nothing new, says the gate.']);
      else this.#claude.receive(messageOf(answer));
    }
    account.turns.push({ key: this.#key, shape: `${conversation}/${this.#turn}`, answers, text });
    this.#turn = (this.#turn + 1) % TURNS;
    if (this.#turn > 0) return;
    this.#generation += 1;
    this.#claude = this.#begin();
  }

  async #ask(request: ClientRequest): Promise<{ id: string; text: string } | undefined> {
    const { account } = this.#options;
    account.calls += 1;
    const body = JSON.parse(request.body.toString());
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const stream = this.#sdk.beta.messages.stream(body, { headers: request.headers });
      try {
        const message = await stream.finalMessage();
        const text = message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
        return { id: String(stream.request_id), text };
      } catch (error) {
        // What fetch refused is counted there.
        if (!(error instanceof Anthropic.APIConnectionError) && !(error instanceof Anthropic.APIError))
          account.trouble('answer cut');
        else if (error instanceof Anthropic.APIError && error.status === undefined && !isConnection(error))
          account.trouble('answer cut');
        await delay(Math.min(100 * attempt, 1_000));
      }
    }
    return undefined;
  }

  #begin(): ClaudeCode {
    const session = this.#session;
    let prompts = 0;
    const hook = (prompt: string, _: string, promptId: string | undefined) => {
      const trace = createHash('sha256').update(`${session} ${prompts++}`).digest('hex');
      const [traceId, rootId] = [trace.slice(0, 32), trace.slice(32, 48)];
      this.#key = `${traceId}-${rootId}`;
      return formatMetadata({
        ...{ v: 1, session_id: session, trace_id: traceId, traceparent: `00-${traceId}-${rootId}-01` },
        ...{ prompt, prompt_id: promptId, source: 'alpha', sent_at: new Date().toISOString() },
      });
    };
    return new ClaudeCode({ version: '2.1.330', session, hintHeaders: true, hook });
  }

  #note(role: 'user' | 'assistant', content: string): void {
    const { transcripts, account } = this.#options;
    const folder = join(transcripts, 'projects', '-faults');
    const uuid = randomUUID();
    mkdirSync(folder, { recursive: true });
    const timestamp = new Date().toISOString();
    const line = { type: role, uuid, timestamp, sessionId: this.#session, message: { role, content } };
    appendFileSync(join(folder, `${this.#session}.jsonl`), `${JSON.stringify(line)}\n`);
    account.lines.push(uuid);
  }
}

function isConnection(error: unknown): boolean {
  return error instanceof Anthropic.APIConnectionError;
}

function reasonOf(error: Error): string {
  const { code } = (error.cause ?? {}) as { code?: string };
  return code ?? error.name;
}
