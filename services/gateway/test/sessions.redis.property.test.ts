import { afterAll, describe, expect, test } from '@jest/globals';
import type { Edit } from '@loom/shared/edit.ts';
import { decodeEvent } from '@loom/shared/event.ts';
import { CANARY, formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientVersion, RELEASES } from '@loom/shared/testing/claude-code/release.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import { normalisedMessages } from '@loom/shared/testing/prompt-cache.ts';
import { answer, apiError } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import fc from 'fast-check';
import { sha256 } from './core/fixtures/body.ts';
import { startHarness } from './harness.ts';
import { type Behaviour, proposal, proposes, type ScriptedRewriter, startRewriter } from './scripted-rewriter.ts';

const rewriters: ScriptedRewriter[] = [];
// Nobody comes later, and a busy machine leaves no edit out: whether one came is what the law is about.
const harness = await startHarness({ LOOM_READ_MS: '10000' }, async (redis) => {
  rewriters.push(await startRewriter(redis, { name: 'scribe', order: 10 }));
  rewriters.push(await startRewriter(redis, { name: 'herald', order: 20 }));
});
afterAll(() => harness.close());

const ours = (text: unknown) => /^[=+](scribe|herald) /.test(String(text));
/** What a rewriter does with a message depends on its text alone: nothing, a block behind it, another text, or both. */
const edits: Behaviour = (question, name) => {
  const last = question.data.view?.last;
  const index =
    last?.content.findLastIndex(({ text }) => text !== undefined && !text.startsWith('<') && !ours(text)) ?? -1;
  const text = last?.content[index]?.text;
  const choice = Number.parseInt(sha256(`${name} ${text}`).slice(0, 2), 16) % 4;
  const list: Edit[] = [];
  if (choice > 1)
    list.push({
      op: 'replace',
      path: `${last?.pointer}/content/${index}/text`,
      value: `=${name} ${text}`,
      durable: true,
    });
  if (choice % 2 === 1)
    list.push({
      op: 'add',
      path: `${last?.pointer}/content/-`,
      value: { type: 'text', text: `+${name} ${text}` },
      durable: true,
    });
  return text === undefined ? proposes()(question, name) : proposes(...list)(question, name);
};
const fails: Behaviour = (question, name) => [proposal(question, name, { error: 'no' })];

interface Step {
  kind:
    | 'turn'
    | 'retried'
    | 'unanswered'
    | 'interrupted'
    | 'bash'
    | 'resume'
    | 'restart'
    | 'compact'
    | 'auto'
    | 'count'
    | 'background';
  prompt: string;
  tools: number;
  /** The rewriters that answer with an error. */
  failing: string[];
}
const prompt = fc.oneof(
  fc.constantFrom(
    'Mend the gate.',
    'Tea?',
    '<b>no tag of ours</b>',
    `{"canary":"${CANARY}"}`,
    '[Request interrupted',
    '"\\\n\n',
    'ä👩‍💻',
  ),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).map((text) => `p ${text}.`),
);
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 5, arbitrary: fc.constant('turn' as const) },
    {
      weight: 8,
      arbitrary: fc.constantFrom<Step['kind']>(
        'retried',
        'unanswered',
        'interrupted',
        'bash',
        'resume',
        'restart',
        'compact',
        'auto',
        'count',
        'background',
      ),
    },
  ),
  prompt,
  tools: fc.nat({ max: 2 }),
  failing: fc.subarray(['scribe', 'herald'], { maxLength: 1 }).chain((some) => fc.constantFrom([], [], some)),
});

interface Seen {
  /** What is the client's own in each message. */
  own: string[];
  forwarded: string[];
  /** Of the body that the upstream got. */
  bodySha256: string;
}

/** 2.0.76 says this of a hook that answers with JSON, in a block of its own: the client's words, and they stay. */
const SUCCESS = '<system-reminder>\nUserPromptSubmit hook success: Success\n</system-reminder>';

let sessions = 0;

/** A session with a client and its twin whose hook says nothing, who says what has to reach the upstream. */
class Session {
  readonly version: ClientVersion;
  readonly client: ClaudeCode;
  readonly twin: ClaudeCode;
  readonly met: Set<string>;
  failing: string[] = [];
  seen: Seen | undefined;
  #toolUses = 0;

  constructor(version: ClientVersion, met: Set<string>) {
    this.met = met;
    this.version = version;
    const session = uuidOf(`law ${sessions++} ${process.env['LOOM_FUZZ_SEED']}`);
    const hook = (typed: string, id: string, promptId: string | undefined) =>
      formatMetadata({ session_id: id, source: 'alpha', prompt: typed, ...(promptId && { prompt_id: promptId }) });
    this.client = new ClaudeCode({ version, session, hook });
    this.twin = new ClaudeCode({ version, session, hook: () => undefined });
  }

  tell(act: (client: ClaudeCode) => void): void {
    act(this.client);
    act(this.twin);
  }

  /** Sends what both write, as often as the upstream is to answer, each time with another status. */
  async send(write: (client: ClaudeCode) => ClientRequest, statuses = [200]): Promise<void> {
    const [sent, plain] = [write(this.client), write(this.twin)];
    for (const status of statuses) await this.deliver(sent, plain, status);
  }

  async deliver(sent: ClientRequest, plain: ClientRequest, status: number): Promise<void> {
    for (const rewriter of rewriters) rewriter.behaviour = this.failing.includes(rewriter.name) ? fails : edits;
    harness.upstream.script =
      status === 200 ? answer({ text: 'Seen.' }) : () => apiError(status, 'overloaded_error', 'Overloaded');
    const response = await harness.send(sent.path, { headers: sent.headers, body: new Uint8Array(sent.body) });
    await response.arrayBuffer();
    expect(response.status).toBe(status);

    const recorded = harness.upstream.requests.at(-1)?.body as Buffer;
    const body = JSON.parse(recorded.toString()) as { messages: { content: string | { text?: string }[] }[] };
    // Around the messages nothing changes, and in them nothing but what is cut and edited.
    expect(recorded.toString()).toBe(JSON.stringify({ ...JSON.parse(sent.body.toString()), messages: body.messages }));
    const forwarded = joined(normalisedMessages(body));
    const expected = joined(normalisedMessages(JSON.parse(plain.body.toString())));
    const unedited = forwarded.map((message) => {
      const { content, ...rest } = JSON.parse(message) as { content: { text?: string }[] };
      const blocks = content.filter(({ text }) => text !== SUCCESS && !/^[+](scribe|herald) /.test(text ?? ''));
      if (content.some(({ text }) => text?.startsWith('+'))) this.met.add('appended');
      return JSON.stringify({
        ...rest,
        content: blocks.map((block) => {
          if (!/^=(scribe|herald) /.test(block.text ?? '')) return block;
          this.met.add('replaced');
          return { ...block, text: block.text?.slice(8) };
        }),
      });
    });
    expect(unedited.map(ordered)).toEqual(expected.map(ordered));
    const markers = (text: string) => text.match(/"cache_control":\{/g)?.length ?? 0;
    expect(markers(recorded.toString())).toBe(markers(plain.body.toString()));

    // As far as the client itself sends what it sent before, the upstream gets what it got before.
    const own = expected.map((message, index) => `${message} ${forwarded[index]?.includes(JSON.stringify(SUCCESS))}`);
    const before = this.seen;
    const same = before?.own.findIndex((message, index) => message !== own[index]) ?? 0;
    const kept = before && same < 0 ? before.own.length : same;
    // Who did not do what it wanted with the newest message is asked again when it comes again.
    const isOpen = before && kept === before.own.length && !(await isSettled(before.bodySha256));
    const stable = isOpen ? kept - 1 : kept;
    if (stable > 4) this.met.add('long prefix');
    expect(forwarded.slice(0, stable)).toEqual(before?.forwarded.slice(0, stable) ?? []);
    this.seen = { own, forwarded, bodySha256: sha256(recorded) };
  }

  toolUse() {
    this.#toolUses++;
    return messageOf({ toolUses: [{ id: `toolu_${this.#toolUses}`, name: 'Bash', input: { command: 'ls' } }] });
  }

  async step({ kind, prompt: typed, tools, failing }: Step): Promise<void> {
    this.failing = failing;
    if (kind === 'restart') return harness.restartGateway();
    if (kind === 'resume') return this.tell((client) => client.resume());
    if (kind === 'background') {
      const before = this.seen;
      this.seen = undefined;
      await this.send((client) => client.title());
      this.seen = before;
      return;
    }
    if (kind === 'count') {
      const before = this.seen;
      if (before && this.version === '2.1.330') await this.send((client) => client.countTokens());
      if (before) this.seen = before;
      return;
    }
    if (kind === 'compact' || kind === 'auto') {
      if (!this.seen) return;
      const trigger = kind === 'auto' ? 'auto' : 'manual';
      await this.send((client) => client.compact({ trigger, args: '' }));
      this.tell((client) => client.compacted('<summary>All of it.</summary>'));
      if (kind === 'compact') return;
      await this.send((client) => client.continueAfterCompaction());
      this.tell((client) => client.receive(messageOf({ text: 'On.' })));
      return;
    }
    // Before 2.1 a command does not make the client ask.
    if (kind === 'bash' && !this.version.startsWith('2.1.')) return;
    if (kind === 'bash') await this.send((client) => client.bash(typed, 'out'));
    else if (kind === 'interrupted') await this.send((client) => client.interruptedPrompt(typed));
    else
      await this.send(
        (client) => client.prompt(typed),
        kind === 'retried' ? [529, 200] : [kind === 'turn' ? 200 : 529],
      );
    // The client gives up; what was typed goes in front of the next prompt.
    if (kind === 'unanswered') return;
    for (let call = 0; call < tools; call++) {
      const used = this.toolUse();
      await this.send((client) => client.toolResults(used, ['done']));
    }
    this.tell((client) => client.receive(messageOf({ text: `Answer to ${typed}` })));
  }
}

/** Whether nobody failed, was refused or passed over, as it was told of the newest request with this body. */
async function isSettled(bodySha256: string): Promise<boolean> {
  const edits = await until(async () => {
    const newest = await harness.client.xrevrange('loom:responses', '+', '-', 'COUNT', 40);
    const told = newest
      .map(([, fields]) => decodeEvent(fields))
      .filter((event) => event.type === 'request.forwarded')
      .find(({ data }) => data.bodySha256 === bodySha256);
    return told?.data.edits;
  });
  return (edits ?? []).every(({ outcome }) => outcome === 'applied' || outcome === 'none');
}

/**
 * Messages of the user that follow each other as the one that the API makes of them: 2.1.330 keeps apart what a message of
 * its hook's stood between, which its twin does not have.
 */
function joined(messages: string[]): string[] {
  const all: { role: string; content: unknown[] }[] = [];
  for (const message of messages) {
    const next = JSON.parse(message);
    const last = all.at(-1);
    if (next.role === 'user' && last?.role === 'user') last.content.push(...next.content);
    else all.push(next);
  }
  return all.map((message) => JSON.stringify(message));
}

const ordered = (message: string) => {
  const { role, content, ...rest } = JSON.parse(message);
  return JSON.stringify({ role, content, ...rest });
};

describe('a gateway and a session of any kind', () => {
  test.each(Object.keys(RELEASES) as ClientVersion[])(
    'sends upstream what it sent before, edits and all, as long as the client does: %s',
    async (version) => {
      const met = new Set<string>();

      await holds(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 9 }), async (steps) => {
          const session = new Session(version, met);
          for (const one of steps) await session.step(one);
        }),
        8,
      );

      reaches(met, ['appended', 'long prefix', 'replaced']);
    },
  );
});
