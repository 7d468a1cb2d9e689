import { createHash } from 'node:crypto';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import type { RecordedRequest, RequestBody } from '@loom/shared/testing/upstream.ts';
import { bodyOf } from './forwarded.ts';
import { modelAnswer } from './model.ts';
import type { Stack } from './stack.ts';

/** One request: as the client sent it, as it would have sent it without Loom's hook, and as it went upstream. */
export interface Exchange {
  sent: ClientRequest;
  plain: ClientRequest;
  forwarded: RecordedRequest;
  answer: Answer;
  /** Of the newest metadata that the hook had printed by then. */
  trace: string | undefined;
}

export interface TalkOptions extends Omit<ClaudeCodeOptions, 'hook' | 'session'> {
  /** Names the session. */
  name: string;
  /** The profile that the hook names; none when empty. */
  source?: string;
  /** Signs the hook's metadata. */
  secret?: string;
  /** Sends a request; resolves to its place among those the upstream got. By default `deliver` to the stack's gateway. */
  by?: (request: ClientRequest) => Promise<number>;
}

/**
 * A conversation through the stack, with a simulated client whose hook prints Loom's metadata. A second client without
 * that hook is told the same: what it would send is what has to reach the upstream.
 */
export class Talk {
  readonly exchanges: Exchange[] = [];
  #prompts = 0;
  #trace: string | undefined;
  readonly #stack: Stack;
  readonly #deliver: (request: ClientRequest) => Promise<number>;
  readonly #client: ClaudeCode;
  readonly #plain: ClaudeCode;

  constructor(stack: Stack, { name, source = 'alpha', secret, by, ...options }: TalkOptions) {
    this.#stack = stack;
    this.#deliver = by ?? ((request) => deliver(stack.url, request));
    const session = uuidOf(name);
    this.#plain = new ClaudeCode({ ...options, session });
    this.#client = new ClaudeCode({
      ...options,
      session,
      hook: (prompt, session, promptId) => {
        this.#prompts++;
        const trace = createHash('sha256').update(`${session} ${this.#prompts}`).digest('hex').slice(0, 32);
        this.#trace = trace;
        const fields = {
          v: 1,
          session_id: session,
          trace_id: trace,
          traceparent: `00-${trace}-00f067aa0ba902b7-01`,
          ...(promptId !== undefined && { prompt_id: promptId }),
          prompt,
          transcript_path: `/home/user/.claude/projects/-work-garden/${session}.jsonl`,
          ...(source !== '' && { source }),
          machine: { fqdn: 'pi.garden', ram: { total: 8_000, free: 4_000 } },
          sent_at: '2026-11-22T09:00:00.000Z',
        };
        return formatMetadata(fields, secret);
      },
    });
  }

  get session(): string {
    return this.#client.session;
  }

  /** The newest exchange. */
  get last(): Exchange {
    const exchange = this.exchanges.at(-1);
    if (!exchange) throw new Error('expected an exchange, got none');
    return exchange;
  }

  /** Tells both clients something that sends nothing. */
  tell(act: (client: ClaudeCode) => void): void {
    act(this.#client);
    act(this.#plain);
  }

  /** Both clients write the request; the one with the hook sends it. Rejects unless the answer is a whole 200. */
  async send(write: (client: ClaudeCode) => ClientRequest): Promise<Exchange> {
    const [sent, plain] = [write(this.#client), write(this.#plain)];
    const ordinal = await this.#deliver(sent);
    const forwarded = this.#stack.upstream.requests[ordinal - 1] as RecordedRequest;
    const exchange = { sent, plain, forwarded, answer: modelAnswer(forwarded.json()), trace: this.#trace };
    this.exchanges.push(exchange);
    return exchange;
  }

  /** Takes an exchange's answer; where that uses a tool, sends the result, until the answer is in words. */
  async finish({ answer }: Exchange): Promise<void> {
    if (answer.toolUses)
      await this.finish(await this.send((client) => client.toolResults(messageOf(answer), [RESULT])));
    else this.tell((client) => client.receive(messageOf(answer)));
  }

  /** A whole turn: a prompt, a tool loop, the answer. Resolves to the prompt's exchange. */
  async turn(prompt: string): Promise<Exchange> {
    const first = await this.send((client) => client.prompt(prompt));
    await this.finish(first);
    return first;
  }
}

const RESULT = 'Nothing new, says the gate.';

/** The same request with another body. */
export function withBody(request: ClientRequest, change: (body: RequestBody) => RequestBody): ClientRequest {
  return { ...request, body: Buffer.from(JSON.stringify(change(bodyOf(request.body)))) };
}

/** Sends a request and reads the answer to its end; resolves to the request's place among those the upstream got. */
export async function deliver(url: string, { path, ...init }: ClientRequest): Promise<number> {
  const response = await fetch(url + path, init);
  const text = await response.text();
  const isWhole = text.includes('event: message_stop') || text.endsWith('}');
  if (response.status !== 200 || !isWhole) throw new Error(`expected a whole 200, got ${response.status}: ${text}`);
  return Number(response.headers.get('request-id')?.replace('req_01Scripted', ''));
}
