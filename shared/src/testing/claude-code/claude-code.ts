import {
  classifierRequest,
  commandPathsRequest,
  countTokensRequest,
  subagentRequest,
  titleRequest,
  topicRequest,
  warmupRequest,
} from './background.ts';
import { commandTexts, instruction, type Trigger } from './compaction.ts';
import { type Answered, Conversation } from './conversation.ts';
import { hookWrapper } from './hook-context.ts';
import { type Message, textBlock, userMessage } from './message.ts';
import { type ClientVersion, isRecent, type Mode, RELEASES } from './release.ts';
import { type Client, type ClientRequest, callBody, clientRequest, type Hints, uuidOf } from './request.ts';
import { READ, toolsOf } from './tools.ts';
import type { Prompt } from './turn.ts';

export interface ClaudeCodeOptions {
  version: ClientVersion;
  /** The release's own by default. On 2.1.330 an older one (`claude-opus-4-6`) moves hook context into the user message. */
  model?: string;
  /** `sdk-cli` by default. */
  mode?: Mode;
  session?: string;
  /** `CLAUDE_CODE_GATEWAY_HINT_HEADERS=1`; only 2.1.330 knows it. */
  hintHeaders?: boolean;
  apiKey?: string;
  /** Returns its `additionalContext`; only 2.1.330 tells it a prompt id. */
  hook?: (prompt: string, session: string, promptId: string | undefined) => string | undefined;
  /** What a second hook prints, as text. */
  otherHook?: string;
}

export interface Compaction {
  trigger: Trigger;
  /** What follows `/compact`. */
  args?: string;
  /** The prompt at which the client found the conversation too long. */
  newPrompt?: string;
  /** The tool calls and results after which it found so. */
  midToolLoop?: { message: Answered; results: string[] };
}

/**
 * Sends what the real client was seen to send, release by release, and nothing that depends on clock or chance. Methods
 * return the request; the caller sends it and hands back the answer. A prompt after one that got no answer is sent as the
 * release sends it after a failure. One class for all, because a test tells a conversation as one list of calls.
 *
 * @example
 * const client = new ClaudeCode({ version: '2.1.330', hook: () => formatMetadata({ source: 'alpha' }) });
 * const request = client.prompt('Good evening.');
 * await fetch(gateway.url + request.path, request);
 * client.receive(messageOf({ text: 'Good evening.' }));
 */
export class ClaudeCode {
  readonly #options: ClaudeCodeOptions;
  #client: Client;
  #conversation: Conversation;
  /** 1.0 and 2.0 send background calls of a resumed session under the new process's own id. */
  #processSession: string;
  #prompts: string[] = [];
  #promptId: string | undefined;
  #compaction: (Compaction & { turn: Prompt | undefined; again: ClientRequest }) | undefined;
  /** Until the first call after a compaction has been made. */
  #compactedBy: Trigger | undefined;

  constructor(options: ClaudeCodeOptions) {
    const { version, mode = 'sdk-cli', hintHeaders = false, apiKey = 'test-key' } = options;
    const { model = RELEASES[version].model, session = uuidOf('a simulated session') } = options;
    this.#options = options;
    this.#client = { version, model, mode, session, apiKey, hintHeaders };
    this.#processSession = session;
    this.#conversation = new Conversation(this.#client);
  }

  get session(): string {
    return this.#client.session;
  }

  prompt(text: string): ClientRequest {
    this.#conversation.add(this.#prompted(text));
    return this.#main();
  }

  /** Several prompts of which only the last one gets through; the hook has run for each. */
  failedThenPrompt(texts: string[]): ClientRequest {
    for (const text of texts) this.#conversation.add(this.#prompted(text));
    return this.#main();
  }

  /** The prompt that is typed after Esc. */
  interruptedPrompt(text: string): ClientRequest {
    this.#conversation.interrupt();
    this.#conversation.add({ ...this.#prompted(text), interrupted: true });
    return this.#main();
  }

  /** Takes the answer that ends a turn. */
  receive(message: Answered): void {
    this.#conversation.receive(message);
  }

  /** The next call of the tool loop: an answer with tool uses, and one result for each, in order. */
  toolResults(message: Answered, results: string[]): ClientRequest {
    const names = this.#conversation.receiveTools(message, results);
    return this.#main({ 'prev-tool-durations': names.map((name) => `${name}=38`).join(',') });
  }

  /** `!command`, whose output the model is told of at once; no hook runs. */
  bash(command: string, stdout = ''): ClientRequest {
    const output = `<bash-stdout>${stdout}</bash-stdout><bash-stderr></bash-stderr>`;
    this.#conversation.tell(`<bash-input>${command}</bash-input>`, output);
    this.#promptId = undefined;
    return this.#main();
  }

  /** The request for a summary; the answer goes to `compacted`. */
  compact(compaction: Compaction): ClientRequest {
    const { trigger, args, newPrompt, midToolLoop } = compaction;
    const { version } = this.#client;
    if (midToolLoop) this.#conversation.receiveTools(midToolLoop.message, midToolLoop.results);
    this.#conversation.settle();
    const turn = newPrompt === undefined ? undefined : this.#prompted(newPrompt);

    // 2.1.330 keeps a new prompt for after the compaction; the others spend it here.
    const messages =
      turn && version !== '2.1.330' ? this.#conversation.messagesWith(turn) : this.#conversation.messages();
    const asking = (isAgain: boolean) =>
      this.#compactionRequest(withInstruction(messages, instruction(version, args, isAgain), version), trigger);
    this.#compaction = { ...compaction, turn, again: asking(true) };
    return asking(false);
  }

  /** The second asking of 2.1.330, when the answer holds no `<summary>`. */
  compactAgain(): ClientRequest {
    if (this.#client.version !== '2.1.330') throw new Error(`expected 2.1.330, got ${this.#client.version}`);
    return this.#underWay().again;
  }

  /** Takes the summary. After a manual compaction the client waits for a prompt, else `continueAfterCompaction` is next. */
  compacted(answer: string): void {
    const { trigger, args = '', midToolLoop, turn } = this.#underWay();
    const transcript = `/home/user/.claude/projects/-work-garden/${this.session}.jsonl`;
    this.#conversation.compact({ trigger, args, isMidLoop: midToolLoop !== undefined, answer, transcript });
    if (turn && this.#client.version === '2.1.330') this.#conversation.add(turn);
    this.#compaction = undefined;
    this.#compactedBy = trigger;
  }

  continueAfterCompaction(): ClientRequest {
    if (this.#compactedBy !== 'auto') throw new Error('expected an automatic compaction that is complete');
    return this.#main();
  }

  /** A new process goes on with the session. */
  resume(): void {
    this.#processSession = uuidOf(`${this.session} resumed`);
    this.#compactedBy = undefined;
    this.#conversation.reload(this.#options.hook !== undefined || this.#options.otherHook !== undefined);
  }

  /** `/clear`: a new session id, and nothing of the old conversation. */
  clear(): void {
    this.#client = { ...this.#client, session: uuidOf(`${this.session} cleared`) };
    this.#processSession = this.session;
    this.#conversation = new Conversation(this.#client, commandTexts('clear', '', ''));
    this.#prompts = [];
    this.#promptId = undefined;
    this.#compactedBy = undefined;
  }

  title(): ClientRequest {
    return titleRequest(this.#background(), this.#prompts);
  }

  /** 1.0.128 takes the hooks' output for the newest message. */
  topic(): ClientRequest {
    return topicRequest(this.#background(), this.#prompts.at(-1) ?? '');
  }

  commandPaths(command: string, output: string): ClientRequest {
    return commandPathsRequest(this.#background(), command, output);
  }

  warmup(): ClientRequest {
    return warmupRequest(this.#background());
  }

  classifier(): ClientRequest {
    return classifierRequest(this.#client, this.#prompts.join('\n'));
  }

  subagent(prompt: string): ClientRequest {
    return subagentRequest(this.#client, prompt, this.#promptId);
  }

  countTokens(): ClientRequest {
    return countTokensRequest(this.#client, this.#conversation.messages());
  }

  #prompted(prompt: string): Prompt {
    const { version } = this.#client;
    this.#promptId = uuidOf(`${this.session} prompt ${this.#prompts.length}`);
    const context = this.#options.hook?.(prompt, this.session, version === '2.1.330' ? this.#promptId : undefined);
    const hook = { context, plain: this.#options.otherHook };
    const wrapper = version === '1.0.128' ? hookWrapper(hook) : undefined;
    this.#prompts.push(...[prompt, wrapper].filter((text) => text !== undefined));
    return {
      prompt,
      hook,
      first: this.#conversation.isEmpty && this.#compactedBy === undefined,
      interrupted: false,
    };
  }

  #main(hints: Hints = {}): ClientRequest {
    const { version } = this.#client;
    const compacted = this.#compactedBy;
    this.#compactedBy = undefined;
    const body = callBody(this.#client, {
      role: 'main',
      messages: this.#conversation.messages(),
      tools: toolsOf(version),
      maxTokens: RELEASES[version].maxTokens,
    });
    return clientRequest(this.#client, body, {
      hints: {
        'request-class': 'main',
        '1p-request-class': 'main',
        ...(this.#promptId !== undefined && { 'prompt-id': this.#promptId }),
        ...(compacted && { 'context-compacted': compacted }),
        ...hints,
      },
    });
  }

  #compactionRequest(messages: Message[], trigger: Trigger): ClientRequest {
    const { version } = this.#client;
    const body = callBody(this.#client, {
      role: isRecent(version) ? 'main' : 'summarizer',
      messages,
      tools: isRecent(version) ? toolsOf(version) : [READ],
      maxTokens: RELEASES[version].compactionMaxTokens,
    });
    return clientRequest(this.#client, body, {
      hints: { 'request-class': 'compaction', '1p-request-class': 'main', compaction: trigger },
    });
  }

  #underWay() {
    if (!this.#compaction) throw new Error('expected a compaction under way: call compact first');
    return this.#compaction;
  }

  #background(): Client {
    return isRecent(this.#client.version) ? this.#client : { ...this.#client, session: this.#processSession };
  }
}

/** The instruction goes into a user message that is there already, else into one of its own. */
function withInstruction(messages: Message[], text: string, version: ClientVersion): Message[] {
  const last = messages.at(-1);
  return last?.role === 'user'
    ? [...messages.slice(0, -1), { ...last, content: [...last.content, textBlock(text)] }]
    : [...messages, { ...userMessage(text), plain: isRecent(version) }];
}
