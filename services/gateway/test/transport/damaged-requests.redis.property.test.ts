import http from 'node:http';
import { afterAll, describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientVersion, RELEASES } from '@loom/shared/testing/claude-code/release.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { damaged, damages } from '@loom/shared/testing/damage.ts';
import { holds, reaches } from '@loom/shared/testing/law.ts';
import { raw } from '@loom/shared/testing/reply.ts';
import fc from 'fast-check';
import { startHarness } from '../harness.ts';
import { startRewriter } from '../scripted-rewriter.ts';
import { exchange } from './wire.ts';

const harness = await startHarness();
const { upstream } = harness;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
upstream.script = () => raw({ status: 200 });
await startRewriter(harness.redis, { name: 'scribe', view: ['system', 'last', 'matched'], wants: [{ on: 'every' }] });

afterAll(async () => {
  agent.destroy();
  await harness.close();
});

/** A request without the bulk of its tools and its system prompt: what is damaged is then seldom inside of a long text. */
function small({ path, headers, body }: ClientRequest): ClientRequest {
  const { tools, system, ...rest } = JSON.parse(body.toString());
  const blocks = Array.isArray(system)
    ? system.map((block: { text: string }) => ({ ...block, text: block.text.slice(0, 80) }))
    : system;
  const shorter = { ...rest, ...(tools && { tools: [{ name: 'Bash' }] }), ...(system && { system: blocks }) };
  return { method: 'POST', path, headers, body: Buffer.from(JSON.stringify(shorter)) };
}

/** What a client sends: a first prompt, a tool's result, a compaction, what comes after it. */
function requestsOf(version: ClientVersion): ClientRequest[] {
  const hook = (prompt: string, session: string) => formatMetadata({ session_id: session, source: 'alpha', prompt });
  const client = new ClaudeCode({ version, hook });
  const used = messageOf({ toolUses: [{ id: 'toolu_1', name: 'Bash', input: { command: 'ls' } }] });
  const requests = [client.prompt('Tea?'), client.toolResults(used, ['leaves'])];
  client.receive(messageOf({ text: 'Tea.' }));
  requests.push(client.compact({ trigger: 'auto' }));
  client.compacted('<summary>Tea.</summary>');
  return [...requests, client.continueAfterCompaction(), client.title()].map(small);
}
const requests = (Object.keys(RELEASES) as ClientVersion[]).flatMap(requestsOf);

const isJson = (bytes: Buffer) => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) !== undefined;
  } catch {
    return false;
  }
};

describe('a client’s request of which any bytes were damaged', () => {
  test('goes upstream, without a fault of Loom’s own; JSON stays JSON, and what is none stays as it is', async () => {
    const met = new Set<string>();

    await holds(
      fc.asyncProperty(fc.constantFrom(...requests), damages, async ({ path, headers, body }, harm) => {
        const bytes = damaged(body, harm);
        const sent = upstream.requests.length;
        const list = Object.entries({ ...headers, 'content-type': 'application/json' }).flat();

        const { status } = await exchange(harness.gateway.url, { path, headers: list, body: bytes, agent });

        expect([status, upstream.requests.length]).toEqual([200, sent + 1]);
        const forwarded = upstream.requests.at(-1)?.body as Buffer;
        const kind = forwarded.equals(bytes) ? 'as it came' : 'changed';
        met.add(`${isJson(bytes) ? 'JSON' : 'no JSON'} ${kind}`);
        if (isJson(bytes)) expect(isJson(forwarded)).toBe(true);
      }),
      150,
    );

    reaches(met, ['JSON changed', 'no JSON as it came']);
    expect(await harness.metric('loom_edit_stage_failed_total')).toBe(0);
    expect(await harness.metric('loom_facts_failed_total')).toBe(0);
  });
});
