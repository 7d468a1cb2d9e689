import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, describe, expect, test } from '@jest/globals';
import { messageOf } from '@loom/shared/testing/answer.ts';
import { expectKeptThroughout, expectOnlyMetadataCut, memorablesOf } from './forwarded.ts';
import { publishedFor } from './published.ts';
import { startStack } from './stack.ts';
import { Talk } from './talk.ts';

const stack = await startStack();
afterAll(() => stack.close());

/** What `redis-cli XRANGE <stream> - +` prints: an id, then names and values, a line each. */
async function xrange(stream: string): Promise<Record<string, string>[]> {
  const words = ['-p', String(stack.redis.port), 'XRANGE', stream, '-', '+'];
  const { stdout } = await promisify(execFile)('redis-cli', words, { maxBuffer: 64 * 1_048_576 });
  const lines = stdout.trimEnd().split('\n');
  const entries: Record<string, string>[] = [];
  for (let at = 0; at < lines.length; at += 2) {
    if (/^\d+-\d+$/.test(lines[at] ?? '')) {
      entries.push({});
      at++;
    }
    Object.assign(entries.at(-1) ?? {}, { [lines[at] ?? '']: lines[at + 1] });
  }
  return entries;
}

describe('redis-cli', () => {
  test('shows each exchange once on either stream, in the trace that the metadata names', async () => {
    const talk = new Talk(stack, { name: 'seen by redis-cli', version: '2.1.330' });
    await talk.turn('Look into the garden.');
    await talk.send((client) => client.title());
    await talk.turn('And now?');
    const published = await publishedFor(stack, talk.exchanges);

    const told = (entries: Record<string, string>[]) =>
      entries.map(({ type, subject, traceparent, data = '' }) => {
        const { requestId } = JSON.parse(data) as { requestId: string };
        return { type, subject, trace: traceparent?.split('-')[1], requestId };
      });

    const expected = talk.exchanges.flatMap(({ trace }, index) => {
      const requestId = published[index]?.received.data.requestId;
      return ['request.received', 'request.forwarded', 'response.completed'].map((type) => ({
        type,
        subject: talk.session,
        trace,
        requestId,
      }));
    });
    const isRequest = ({ type }: { type: string | undefined }) => type === 'request.received';
    expect(talk.exchanges).toHaveLength(5);
    expect(told(await xrange('loom:requests'))).toEqual(expected.filter(isRequest));
    expect(told(await xrange('loom:responses'))).toEqual(expected.filter((event) => !isRequest(event)));
  });
});

describe('@anthropic-ai/sdk', () => {
  test('streams a tool loop through the stack and reads what the upstream said', async () => {
    const sdk = new Anthropic({ apiKey: 'test-key', baseURL: stack.url, maxRetries: 0 });
    const messages: unknown[] = [];
    const talk = new Talk(stack, {
      name: 'through the SDK',
      version: '2.1.118',
      by: async ({ body, headers }) => {
        const stream = sdk.beta.messages.stream(JSON.parse(body.toString()), { headers });
        messages.push((await stream.finalMessage()).content);
        return Number(stream.request_id?.replace('req_01Scripted', ''));
      },
    });
    await stack.client.rpush(`intro:memorables:${talk.session}`, 'the blue door');

    await talk.turn('Look into the garden.');
    await talk.turn('And now?');

    const [first] = talk.exchanges;
    expect(messages).toEqual(talk.exchanges.map(({ answer }) => messageOf(answer).content));
    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
    expectKeptThroughout(talk.exchanges);
    expect(first && memorablesOf(first)).toEqual([['Look into the garden.', ['the blue door']]]);
  });
});
