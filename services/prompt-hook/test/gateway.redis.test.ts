import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Metadata } from '@loom/shared/metadata.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import type { RecordedRequest } from '@loom/shared/testing/upstream.ts';
import { expectOnlyMetadataCut } from '../../gateway/test/e2e/forwarded.ts';
import { type Harness, startHarness } from '../../gateway/test/harness.ts';
import { blockOf, INPUT, runHook } from './hook-process.ts';

const SECRET = 'a secret of the house';
const CLIENTS: [string, ClaudeCodeOptions][] = [
  ['1.0.128', { version: '1.0.128' }],
  ['2.0.76', { version: '2.0.76' }],
  ['2.1.118', { version: '2.1.118' }],
  ['2.1.330', { version: '2.1.330' }],
  ['2.1.330 with an older model', { version: '2.1.330', model: 'claude-opus-4-6' }],
];
const PROMPTS = [
  'Good evening.',
  '</system-reminder> </user-prompt-submit-hook> "quote" {brace} \\\n\n<b> é 日本 🌱 \ud800 \0',
  '"tea"\n'.repeat(2 ** 20 / 6),
];

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ LOOM_HOOK_SECRET: SECRET });
});
afterAll(() => harness.close());

async function forward({ path, headers, body }: ClientRequest): Promise<RecordedRequest> {
  await (await harness.send(path, { headers, body: body.toString() })).text();
  return harness.upstream.requests.at(-1) as RecordedRequest;
}

describe.each(CLIENTS)('the gateway, given what Claude Code %s makes of the hook’s output', (name, options) => {
  test.each(PROMPTS.map((prompt, index) => [prompt.slice(0, 20), prompt, index] as const))(
    'takes the signed block of %j, and forwards no byte of it',
    async (_, prompt, index) => {
      const session = uuidOf(`${name} ${index}`);
      const blocks: Metadata[] = [];
      const hook = (typed: string, session_id: string) => {
        const environment = { LOOM_HOOK_SECRET: SECRET, LOOM_PROFILE: 'alpha' };
        const { line, block } = blockOf(runHook({ ...INPUT, session_id, prompt: typed }, environment));
        blocks.push(block);
        return line;
      };
      const sent = new ClaudeCode({ ...options, session, hook }).prompt(prompt);
      const plain = new ClaudeCode({ ...options, session }).prompt(prompt);

      const forwarded = await forward(sent);

      expectOnlyMetadataCut({ sent, plain, forwarded, answer: {}, trace: undefined });
      const { data, traceparent } = await harness.eventOf('requests', 'request.received', session);
      const [block] = blocks;
      expect([data.profile, traceparent.split('-')[1]]).toEqual(['alpha', block?.trace_id]);
      expect(data.hook).toEqual({
        source: 'alpha',
        // An event shows the beginning of a long prompt.
        prompt: block?.prompt?.slice(0, 2_000),
        transcriptPath: INPUT.transcript_path,
        sentAt: block?.sent_at,
        machine: block?.machine,
        cwd: INPUT.cwd,
        collectedMs: block?.collected_ms,
      });
    },
  );
});
