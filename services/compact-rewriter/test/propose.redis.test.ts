import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { continuation, instruction } from '@loom/shared/testing/claude-code/compaction.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { openPinnedPrompts } from '../src/adapters/pinned-prompts.ts';
import { parsePack } from '../src/core/packs.ts';
import { propose } from '../src/propose.ts';
import { last, matched, PROMPTS, readLog, received } from './shown.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.close());

const signatures = parsePack(readFileSync(new URL('../packs/claude-code.yaml', import.meta.url), 'utf8'));

function service(current = new Map([['alpha', PROMPTS]])) {
  const { log, lines } = readLog();
  const pinned = openPinnedPrompts(server.client(), (name) => `t:${name}`, log);
  return {
    current,
    lines,
    sources: { prompts: { find: (name: string) => current.get(name) }, pinned, signatures, log },
  };
}

const compacts = (session: string) => ({
  ...received({ class: 'compaction', view: last(instruction('2.1.330', undefined)) }),
  subject: session,
});
const continues = (session: string, profile = 'alpha') => ({
  ...received({ profile, view: { matched: [matched(continuation('1.0.128', 'auto', 'Tea', '/t.jsonl'))] } }),
  subject: session,
});
const answer = (...edits: unknown[]) => ({
  type: 'edits.proposed',
  subject: '',
  stream: 'loom:edits:g1',
  data: { requestId: 'r1', rewriter: '', replica: '', bodySha256: 'a'.repeat(64), edits },
});
const said = (text: string) =>
  answer({
    op: 'replace',
    path: '/messages/0/content/0/text',
    value: `This session is being continued from a previous conversation that ran out of context. The conversation is summarized below:\nTea.\n${text}`,
    durable: true,
  });

describe('propose', () => {
  test('lets an edited prompt take effect at the next compaction', async () => {
    const { current, sources } = service();
    await propose(compacts('s1'), sources);
    current.set('alpha', { ...PROMPTS, version: 'v2', continuation: 'Anew.' });

    const before = await propose(continues('s1'), sources);
    await propose(compacts('s1'), sources);
    const after = await propose(continues('s1'), sources);

    expect(before).toEqual([said(PROMPTS.continuation)]);
    expect(after).toEqual([said('Anew.')]);
  });

  test('uses the current prompts in a session whose compaction it has not seen', async () => {
    const { current, sources } = service();

    const first = await propose(continues('s2'), sources);
    current.set('alpha', { ...PROMPTS, continuation: 'Anew.' });
    const second = await propose(continues('s2'), sources);

    expect([first, second]).toEqual([[said(PROMPTS.continuation)], [said('Anew.')]]);
  });

  test('does not speak as another persona after a session has changed its profile', async () => {
    const { current, sources } = service();
    current.set('iota', { ...PROMPTS, profile: 'iota', continuation: 'I am Iota.' });
    await propose(compacts('s3'), sources);

    expect(await propose(continues('s3', 'iota'), sources)).toEqual([said('I am Iota.')]);
  });

  test('leaves a stranger alone', async () => {
    expect(await propose(continues('s4', 'stranger'), service().sources)).toEqual([answer()]);
  });

  test('raises the alarm for a compaction that it does not know, and pins nothing to it', async () => {
    const { current, lines, sources } = service();
    const event = { ...received({ class: 'compaction', view: last('Sum it all up.') }), subject: 's5' };

    const drafts = await propose(event, sources);
    current.set('alpha', { ...PROMPTS, continuation: 'Anew.' });

    expect(drafts).toEqual([
      answer(),
      {
        type: 'compaction.unrecognised',
        subject: 's5',
        data: {
          requestId: 'r1',
          reason: 'no signature knows the instruction of this compaction',
          opening: 'Sum it all up.',
        },
      },
    ]);
    expect(lines).toEqual(['warn: a compaction is not recognised']);
    expect(await propose(continues('s5'), sources)).toEqual([said('Anew.')]);
  });

  test('answers in a session without an id, and pins nothing to it', async () => {
    const { sources } = service();

    await propose(compacts(''), sources);

    expect(await sources.pinned.find('')).toBeUndefined();
  });
});
