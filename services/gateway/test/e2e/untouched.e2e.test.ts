import { afterAll, describe, expect, test } from '@jest/globals';
import { continuation, instruction } from '@loom/shared/testing/claude-code/compaction.ts';
import type { ClientVersion } from '@loom/shared/testing/claude-code/release.ts';
import { until } from '@loom/shared/testing/until.ts';
import { expectOnlyMetadataCut } from './forwarded.ts';
import { SUMMARY } from './model.ts';
import { publishedFor } from './published.ts';
import { startStack } from './stack.ts';
import { Talk, withBody } from './talk.ts';

const stack = await startStack();
afterAll(() => stack.close());

const versions: ClientVersion[] = ['1.0.128', '2.0.76', '2.1.118', '2.1.330'];
const SUMMARIZER = 'You are a helpful AI assistant tasked with summarizing conversations.';

describe.each(versions)('with %s, nobody edits', (version) => {
  const quotes: [string, string][] = [
    ['quotes the instruction', `Why is this in my log?\n${instruction(version, undefined)}`],
    ['pastes the instruction', instruction(version, 'the tea')],
    ['quotes the summarizer', `${SUMMARIZER} Who says so?`],
    ['quotes a continuation', `My log says: ${continuation(version, 'auto', SUMMARY, '/tmp/log.jsonl')}`],
  ];
  test.each(quotes)('the request of a user who %s', async (name, text) => {
    const talk = new Talk(stack, { name: `${version} ${name}`, version });

    await talk.turn(text);
    await talk.turn('And now?');

    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
    const published = await publishedFor(stack, talk.exchanges);
    expect(published.map(({ received }) => received.data.class)).toEqual(talk.exchanges.map(() => 'main'));
  });

  test('a subagent that is told of the instruction, a title, or a count of the tokens', async () => {
    const talk = new Talk(stack, { name: `${version} beside`, version, otherHook: 'The tree is clean.' });
    await talk.turn('Look into the garden.');
    await stack.client.rpush(`intro:memorables:${talk.session}`, 'the blue door');

    await talk.send((client) => client.subagent(`What does this mean?\n${instruction(version, undefined)}`));
    // The agents of 1.0 and 2.0 are not marked: one with this very task looks like a compaction.
    if (version > '2.1') await talk.send((client) => client.subagent(instruction(version, undefined)));
    await talk.send((client) => client.title());
    if (version === '2.1.330') await talk.send((client) => client.countTokens());

    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
  });

  test('a compaction and a turn of a session that has no profile', async () => {
    const talk = new Talk(stack, { name: `${version} without a profile`, version, source: '' });
    await stack.client.rpush(`intro:memorables:${talk.session}`, 'the blue door');

    await talk.turn('Look into the garden.');
    const asked = await talk.send((client) => client.compact({ trigger: 'auto' }));
    talk.tell((client) => client.compacted(asked.answer.text ?? ''));
    await talk.finish(await talk.send((client) => client.continueAfterCompaction()));
    await talk.turn('And now?');

    for (const exchange of talk.exchanges) expectOnlyMetadataCut(exchange);
  });
});

describe('a compaction in words that nobody knows', () => {
  test('raises an alarm and goes out as it is', async () => {
    const talk = new Talk(stack, { name: 'unknown', version: '2.1.330', hintHeaders: true });
    await talk.turn('Look into the garden.');
    const opening = 'Fold this conversation up into a small parcel.';

    const exchange = await talk.send((client) =>
      withBody(client.compact({ trigger: 'manual' }), ({ messages = [], ...body }) => ({
        ...body,
        messages: [...messages.slice(0, -1), { role: 'user', content: opening }],
      })),
    );

    expectOnlyMetadataCut(exchange);
    const [published] = await publishedFor(stack, [exchange]);
    const alerts = await until(async () => {
      const events = await stack.events('compaction.unrecognised');
      return events.length > 0 && events.map(({ subject, data }) => ({ subject, data }));
    });
    expect(alerts).toEqual([
      {
        subject: talk.session,
        data: {
          requestId: published?.received.data.requestId,
          reason: 'no signature knows the instruction of this compaction',
          opening,
        },
      },
    ]);
  });
});
