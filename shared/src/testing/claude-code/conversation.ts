import { commandTexts, continuation, isContinuation, type Trigger } from './compaction.ts';
import { ENVIRONMENT, TOKENS_REMINDER } from './environment.ts';
import { isHookReminder } from './hook-context.ts';
import { type Block, type Message, merged, systemMessage, textBlock, userMessage } from './message.ts';
import { hasSystemMessages } from './release.ts';
import { type Placement, type Prompt, type Turn, turnMessages } from './turn.ts';

/** As much of an answer as goes into the history. */
export interface Answered {
  content: object[];
}

/** What the client keeps of a conversation, and what becomes of it release by release. */
export class Conversation {
  readonly #placement: Placement;
  readonly #placesSystem: boolean;
  #history: Message[] = [];
  #unanswered: Turn[] = [];
  /** Texts that wait for the next prompt. */
  #leading: string[] = [];

  constructor(placement: Placement, leading: string[] = []) {
    this.#placement = placement;
    this.#placesSystem = hasSystemMessages(placement.version, placement.model);
    this.#leading = leading;
  }

  get isEmpty(): boolean {
    return this.#history.length === 0 && this.#unanswered.length === 0;
  }

  /** As a request would carry it now. */
  messages(): Message[] {
    return this.#with(this.#unanswered);
  }

  /** As a request would carry it if a prompt were spent on it that is then forgotten. */
  messagesWith(prompt: Prompt): Message[] {
    return this.#with([{ ...prompt, leading: this.#leading }]);
  }

  /** Adds a prompt; those before it that got no answer stay in front of it. */
  add(prompt: Prompt): void {
    this.#unanswered.push({ ...prompt, leading: this.#leading });
    this.#leading = [];
  }

  /** Adds a message for which no hook runs. */
  tell(...texts: string[]): void {
    this.settle();
    this.#history.push(userMessage(...texts));
  }

  interrupt(): void {
    this.#leading.push('[Request interrupted by user]');
  }

  receive({ content }: Answered): void {
    this.settle();
    this.#history.push({ role: 'assistant', content: content as Block[] });
  }

  /** Adds an answer and its tools' results; returns the tools' names. */
  receiveTools(message: Answered, results: string[]): string[] {
    this.receive(message);
    const uses = (message.content as Block[]).filter(({ type }) => type === 'tool_use');
    const suffix = this.#placement.version === '2.1.330' && !this.#placesSystem ? `\n\n${TOKENS_REMINDER}` : '';
    const content = uses.map(({ id }, index) => ({
      tool_use_id: id,
      type: 'tool_result',
      content: `${results[index] ?? ''}${suffix}`,
    }));
    this.#history.push({ role: 'user', content });
    return uses.map(({ name }) => String(name));
  }

  settle(): void {
    this.#history = this.messages();
    this.#unanswered = [];
  }

  /** Puts a summary in the history's place; only 2.1.330 keeps the newest messages, and a prompt that was not spent. */
  compact(compaction: {
    trigger: Trigger;
    args: string;
    isMidLoop: boolean;
    answer: string;
    transcript: string;
  }): void {
    const { version } = this.#placement;
    const { trigger, args, isMidLoop, answer, transcript } = compaction;
    const opening = continuation(version, trigger, answer, transcript);
    const commands = trigger === 'manual' ? commandTexts('compact', args, 'Compacted') : [];

    if (version !== '2.1.330') {
      this.#history = trigger === 'manual' ? [] : [userMessage(opening)];
      this.#leading = trigger === 'manual' ? [opening, ...commands] : [];
      return;
    }
    const lastAnswer = this.#history.findLastIndex(({ role }) => role === 'assistant');
    const kept = lastAnswer < 0 ? [] : this.#history.slice(lastAnswer);
    const emptied = this.#placesSystem && trigger === 'manual' ? [systemMessage()] : [];
    const told = this.#placesSystem && isMidLoop ? [systemMessage(ENVIRONMENT[1])] : [];
    this.#history = [userMessage(opening), ...emptied, ...kept, ...told];
    this.#leading = commands;
  }

  /** Reads itself back from the transcript, in a new process. */
  reload(hasHooks: boolean): void {
    const { version } = this.#placement;
    this.settle();
    // A continuation that nobody answered is closed by an answer of the client's own.
    if (isContinuation(this.#leading[0]) && !(version === '1.0.128' && hasHooks)) {
      this.#history.push(userMessage(...this.#leading));
      this.#history.push({ role: 'assistant', content: [textBlock('No response requested.')] });
      this.#leading = [];
    }
    // Its transcript holds no hook output.
    if (version === '2.0.76')
      this.#history = this.#history.map((message) => ({
        ...message,
        content: message.content.filter(({ text }) => !isHookReminder(text)),
      }));
  }

  #with(turns: Turn[]): Message[] {
    return merged([...this.#history, ...turnMessages(turns, this.#placement)]);
  }
}
