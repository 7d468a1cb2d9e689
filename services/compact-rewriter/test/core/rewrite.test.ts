import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { RequestView } from '@loom/shared/event.ts';
import { continuation, instruction } from '@loom/shared/testing/claude-code/compaction.ts';
import { type ClientVersion, RELEASES } from '@loom/shared/testing/claude-code/release.ts';
import { parsePack } from '../../src/core/packs.ts';
import { rewriteCompaction } from '../../src/core/rewrite.ts';
import { last, matched, PROMPTS, received } from '../shown.ts';

const signatures = parsePack(readFileSync(new URL('../../packs/claude-code.yaml', import.meta.url), 'utf8'));
const versions = Object.keys(RELEASES) as ClientVersion[];
const recent = ['2.1.118', '2.1.330'] as const;
const old = ['1.0.128', '2.0.76'] as const;

const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing conversations.';
const NEEDS = 'Answer with text only and call no tool; put the summary itself between <summary> and </summary>.';
const ANSWER = '<analysis>\nlong\n</analysis>\n\n<summary>\nWe drank tea.\n</summary>';
const FILE = '/home/user/.claude/projects/p/s1.jsonl';
const OPENING = 'This session is being continued from a previous conversation that ran out of context.';
const KEPT =
  '\n\nThe messages after this summary are the most recent messages from before compaction, kept verbatim. Read them as the newest part of the conversation.';

const UNKNOWN = 'no signature knows the instruction of this compaction';

const compaction = (view: RequestView) =>
  rewriteCompaction(received({ class: 'compaction', view }).data, { current: PROMPTS }, signatures);
const main = (view: RequestView) => rewriteCompaction(received({ view }).data, { current: PROMPTS }, signatures);
const replace = (path: string, value: string) => ({ op: 'replace', path, value });
const durable = (value: string, path = '/messages/0/content/0/text') => ({ ...replace(path, value), durable: true });
const summary = (version: ClientVersion, text = ANSWER) => continuation(version, 'auto', text, FILE);

describe('rewriteCompaction, of the request that compacts', () => {
  test.each(recent)('says who the persona is before its prompt, for %s keeps its system prompt', (version) => {
    const rewriting = compaction(last(instruction(version, undefined)));

    expect(rewriting).toEqual({
      edits: [replace('/messages/4/content/0/text', `${PROMPTS.identity}\n\n${PROMPTS.compact}\n\n${NEEDS}`)],
      found: ['instruction.text-only'],
    });
  });

  test.each(old)('replaces the summarizer of %s by the persona, in the block where it stands', (version) => {
    const view = {
      ...last(instruction(version, undefined)),
      matched: [matched(SUMMARIZER, '/system/1/text', 'system')],
    };

    expect(compaction(view)).toEqual({
      edits: [
        replace('/system/1/text', PROMPTS.identity),
        replace('/messages/4/content/0/text', `${PROMPTS.compact}\n\n${NEEDS}\n`),
      ],
      found: ['system.summarizer', 'instruction.plain'],
    });
  });

  test('replaces the summarizer although the instruction is worded anew, and says so', () => {
    const view = { ...last('Sum it all up.'), matched: [matched(SUMMARIZER, '/system/1/text', 'system')] };

    expect(compaction(view)).toEqual({
      edits: [replace('/system/1/text', PROMPTS.identity)],
      found: ['system.summarizer'],
      unrecognised: { reason: UNKNOWN, opening: 'Sum it all up.' },
    });
  });

  test.each(versions)('keeps the words of /compact from %s, in the words of the persona', (version) => {
    const words = 'keep $& and {{human}}\nREMINDER: Do NOT call any tools of mine';

    const [edit] = compaction(last(instruction(version, words))).edits;

    const end = (old as readonly string[]).includes(version) ? '\n' : '';
    expect(edit).toEqual(
      replace(
        '/messages/4/content/0/text',
        `${PROMPTS.identity}\n\n${PROMPTS.compact}\n\nSam asked for this:\n${words}\n\n${NEEDS}${end}`,
      ),
    );
  });

  test('leaves a tool result in front of the instruction alone', () => {
    const view = last({ type: 'tool_result' }, instruction('2.1.330', undefined));

    expect(compaction(view).edits.map(({ path }) => path)).toEqual(['/messages/4/content/1/text']);
  });

  test('keeps a reminder that stands in front of the instruction', () => {
    const reminder = '<system-reminder>\nThe tree is clean.\n</system-reminder>\n';

    const [edit] = compaction(last(reminder + instruction('2.1.118', undefined))).edits;

    expect(edit).toEqual(
      replace('/messages/4/content/0/text', `${reminder}${PROMPTS.identity}\n\n${PROMPTS.compact}\n\n${NEEDS}`),
    );
  });

  const again =
    'For this reply only: write what the instructions above ask for, in <summary> tags, before anything else is said.';

  test('keeps the paragraph by which 2.1.330 asks once more', () => {
    const [edit] = compaction(last(instruction('2.1.330', 'names', true))).edits;

    expect(edit).toEqual(
      replace(
        '/messages/4/content/0/text',
        `${PROMPTS.identity}\n\n${PROMPTS.compact}\n\nSam asked for this:\nnames\n\n${NEEDS}\n\n${again}`,
      ),
    );
  });

  test('finds the instruction before the block by which a client asks once more', () => {
    const view = last(instruction('2.1.330', undefined), again);

    expect(compaction(view)).toEqual({
      edits: [replace('/messages/4/content/0/text', `${PROMPTS.identity}\n\n${PROMPTS.compact}\n\n${NEEDS}`)],
      found: ['instruction.text-only'],
    });
  });

  test('reports the first 200 characters of an instruction that it does not know', () => {
    expect(compaction(last('Earlier.', `${'Sum it up! '.repeat(40)}`))).toEqual({
      edits: [],
      found: [],
      unrecognised: { reason: UNKNOWN, opening: 'Sum it up! '.repeat(40).slice(0, 200) },
    });
  });

  test('reports a compaction that shows no text at all', () => {
    expect(compaction(last({ type: 'image' }))).toEqual({
      edits: [],
      found: [],
      unrecognised: { reason: UNKNOWN, opening: '' },
    });
  });

  test.each([
    ['says it in the middle of a text', (words: string) => last(`Look what I found:\n\n${words}`)],
    ['says it in an earlier block', (words: string) => last(words, 'What is that?')],
    ['says it in an answer', (words: string) => ({ last: { ...last(words).last, role: 'assistant' } }) as RequestView],
  ])('leaves the instruction alone where somebody %s', (_, say) => {
    expect(compaction(say(instruction('2.1.330', undefined))).edits).toEqual([]);
  });

  test('leaves the summarizer alone where a message quotes it', () => {
    const view = { ...last(instruction('2.0.76', undefined)), matched: [matched(SUMMARIZER)] };

    expect(compaction(view).found).toEqual(['instruction.plain']);
  });
});

describe('rewriteCompaction, of the request after it', () => {
  test.each(old)('replaces the sentence and its tail in the continuation of %s, for good', (version) => {
    expect(main({ matched: [matched(summary(version))] })).toEqual({
      edits: [
        durable(
          `${OPENING} The conversation is summarized below:\nAnalysis:\nlong\n\nSummary:\nWe drank tea..\n${PROMPTS.continuation}`,
        ),
      ],
      found: ['continuation.please'],
    });
  });

  const details = `If you need specific details from before compaction (the exact text of a file, say), read the full transcript at: ${FILE}\n`;
  const told = `${OPENING} The summary below covers the earlier portion of the conversation.\n\nSummary:\nWe drank tea.\n\n${details}`;

  test('replaces the sentence and its tail in the continuation of 2.1.118, for good', () => {
    expect(main({ matched: [matched(summary('2.1.118'))] })).toEqual({
      edits: [durable(told + PROMPTS.continuation)],
      found: ['continuation.resume'],
    });
  });

  test.each(['auto', 'manual'] as const)('keeps what 2.1.330 says truly behind the sentence, %s', (trigger) => {
    const tools =
      '<system-reminder>\n<tools-used-before-summary>Bash</tools-used-before-summary>\n</system-reminder>\n';

    expect(main({ matched: [matched(continuation('2.1.330', trigger, ANSWER, FILE))] })).toEqual({
      edits: [durable(told + tools + PROMPTS.continuation + KEPT)],
      found: ['continuation.resume'],
    });
  });

  test('knows the wording "left off"', () => {
    const text = summary('1.0.128').replace('left it off', 'left off');

    expect(main({ matched: [matched(text)] }).found).toEqual(['continuation.please']);
  });

  test('knows a sentence that is wrapped in another place', () => {
    const text = summary('1.0.128');

    expect(main({ matched: [matched(text.replace('asking the user', 'asking\n  the user'))] }).edits).toEqual(
      main({ matched: [matched(text)] }).edits,
    );
  });

  test.each(['1.0.128', '2.0.76', '2.1.118'] as const)(
    'leaves a continuation of %s without the sentence alone',
    (version) => {
      const text = continuation(
        version,
        'manual',
        ANSWER.replace('tea', 'tea (Please continue the conversation)'),
        FILE,
      );

      expect(main({ matched: [matched(text)] })).toEqual({ edits: [], found: [] });
    },
  );

  test('edits a text once, though several of its literals are shown', () => {
    const text = summary('1.0.128');

    expect(main({ matched: [matched(text), { ...matched(text), label: 'other' }] }).edits).toHaveLength(1);
  });

  test('edits the continuation of a session that compacts again, too', () => {
    const view = { ...last(instruction('2.1.330', undefined)), matched: [matched(summary('2.1.330'))] };

    expect(compaction(view).found).toEqual(['instruction.text-only', 'continuation.resume']);
  });

  test.each([
    [
      'asks about the sentence',
      'Why do you read "Please continue the conversation from where we left it off"?',
      'user',
    ],
    ['pastes the sentence', summary('1.0.128').split('\n').slice(-1).join(''), 'user'],
    ['pastes a continuation behind words of their own', `Look:\n${summary('1.0.128')}`, 'user'],
    ['answers with a continuation', summary('1.0.128'), 'assistant'],
    ['goes on talking behind the sentence', `${summary('1.0.128')}\nThat is what I read.`, 'user'],
  ])('leaves the sentence alone where somebody %s', (_, text, role) => {
    expect(main({ matched: [matched(text, '/messages/0/content/0/text', role)] })).toEqual({ edits: [], found: [] });
  });

  test('says what the persona said when the compaction began', () => {
    const pinned = { ...PROMPTS, continuation: 'Back then.' };

    const { edits } = rewriteCompaction(
      received({ view: { matched: [matched(summary('1.0.128'))] } }).data,
      { current: PROMPTS, pinned },
      signatures,
    );

    expect(edits).toEqual([durable(summary('1.0.128').replace(/Please continue .*$/, 'Back then.'))]);
  });

  test.each(['subagent', 'auxiliary', 'probe'] as const)('leaves requests of the class %s alone', (kind) => {
    const view = { ...last(instruction('2.1.330', undefined)), matched: [matched(summary('2.1.330'))] };

    const rewriting = rewriteCompaction(received({ class: kind, view }).data, { current: PROMPTS }, signatures);

    expect(rewriting).toEqual({ edits: [], found: [] });
  });

  test('leaves a count of tokens alone', () => {
    const view = { matched: [matched(summary('2.1.330'))] };
    const request = received({ path: '/v1/messages/count_tokens?beta=true', view }).data;

    expect(rewriteCompaction(request, { current: PROMPTS }, signatures)).toEqual({ edits: [], found: [] });
  });

  test('leaves a request that shows nothing alone', () => {
    expect(rewriteCompaction(received().data, { current: PROMPTS }, signatures)).toEqual({ edits: [], found: [] });
  });
});

describe('rewriteCompaction, of what it has written itself', () => {
  const continued = (text: string) =>
    main({ matched: [matched(text)] }).edits.map((edit) => 'value' in edit && edit.value);

  test.each(versions)('finds nothing more to do after the second and the third compaction of %s', (version) => {
    const quoting = `<summary>\nI was told: ${PROMPTS.continuation}\nBefore that: Please continue the conversation from where we left it off without asking the user any further questions.\n</summary>`;

    const second = summary(version, quoting);
    const [rewritten] = continued(second);
    const third = summary(version, `<summary>\n${rewritten}\n</summary>`);
    const [again] = continued(third);

    expect(continued(String(rewritten))).toEqual([]);
    expect(continued(String(again))).toEqual([]);
    expect(String(rewritten)).toEqual(
      second.replace(/^(Please c|C)ontinue the conversation .*$/m, PROMPTS.continuation),
    );
  });

  test.each([
    ['. Continue with the last task that you were asked to work on.'],
    [' Continue with the last task that you were asked to work on.'],
    [
      '.\nPlease continue the conversation from where we left it off without asking the user any further questions. Continue with the last task that you were asked to work on.',
    ],
  ])('takes away what a client has appended to it: %s', (appended) => {
    const own = `${OPENING}\nTea.\n${PROMPTS.continuation}`;

    expect(main({ matched: [matched(own + appended)] }).edits).toEqual([durable(own)]);
    expect(main({ matched: [matched(own + appended + KEPT)] }).edits).toEqual([durable(own + KEPT)]);
  });

  test.each(versions)('neither edits nor reports a compaction of %s that is rewritten already', (version) => {
    const [edit] = compaction(last(instruction(version, 'names', true))).edits;
    const value = edit && 'value' in edit ? String(edit.value) : '';

    expect(compaction(last(value))).toEqual({ edits: [], found: [] });
  });

  test('recognises prompts that begin as the signatures do', () => {
    const prompts = {
      ...PROMPTS,
      identity: `${SUMMARIZER} As Alpha.`,
      compact: `${instruction('2.0.76', undefined)}I am Alpha.`,
    };
    const view = (system: string, text: string) => ({
      ...last(text),
      matched: [matched(system, '/system/1/text', 'system')],
    });
    const rewrite = (system: string, text: string) =>
      rewriteCompaction(
        received({ class: 'compaction', view: view(system, text) }).data,
        { current: prompts },
        signatures,
      ).edits;

    expect(rewrite(SUMMARIZER, instruction('2.0.76', undefined))).toHaveLength(2);
    expect(rewrite(prompts.identity, `${prompts.compact}\n\n${NEEDS}\n`)).toEqual([]);
  });
});

describe('rewriteCompaction, of a continuation that is worded anew', () => {
  const text = `${OPENING}\nTea. ${'We drank tea. '.repeat(20)}Go on as if nothing had happened.`;
  const view = { matched: [matched(text, '/messages/0/content/0/text')] };
  const after = (shown: RequestView, contextCompacted?: string) =>
    rewriteCompaction(
      { ...received({ view: shown }).data, ...(contextCompacted !== undefined && { contextCompacted }) },
      { current: PROMPTS },
      signatures,
    );

  test('says so right after the client compacted', () => {
    expect(after(view, 'auto')).toEqual({
      edits: [],
      found: [],
      unrecognised: {
        reason: 'no signature knows the sentence that goes on after this compaction',
        opening: text.slice(-200),
      },
    });
  });

  test('says nothing where the client does not say that it compacted: some continuations have no such sentence', () => {
    expect(after(view)).toEqual({ edits: [], found: [] });
  });

  test('says nothing of a continuation that is known, before and after it is rewritten', () => {
    const known = after({ matched: [matched(summary('2.1.330'), '/messages/0/content/0/text')] }, 'auto');
    const [edit] = known.edits;
    const value = edit?.op === 'replace' && typeof edit.value === 'string' ? edit.value : '';
    const again = after({ matched: [matched(value, '/messages/0/content/0/text')] }, 'auto');

    expect([known.unrecognised, again.unrecognised]).toEqual([undefined, undefined]);
  });
});

describe('rewriteCompaction, of a summary that quotes the sentence a hundred times', () => {
  test('finds the one that is the client’s, at the end', () => {
    const sentence =
      'Please continue the conversation from where we left it off without asking the user any further questions.';
    const summary = `${OPENING}\n${`${sentence}\nTea.\n`.repeat(100)}`;

    const rewriting = main({ matched: [matched(summary + sentence, '/messages/0/content/0/text')] });

    expect(rewriting.edits).toEqual([durable(summary + PROMPTS.continuation)]);
  });
});
