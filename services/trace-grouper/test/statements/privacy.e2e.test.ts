import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CANARY } from '@loom/shared/metadata.ts';
import type { Answer } from '@loom/shared/testing/answer.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import type { ReceivedSpan } from '@loom/shared/testing/otlp.ts';
import { type RedisServer, startRedis } from '@loom/shared/testing/redis.ts';
import { apiError, cutMidStream, type Reply } from '@loom/shared/testing/reply.ts';
import { type RequestBody, startUpstream, type Upstream } from '@loom/shared/testing/upstream.ts';
import { withBody } from '../../../gateway/test/e2e/talk.ts';
import { heard, openWorld, talker, type World } from './world.ts';

const MODES = ['none', 'metadata', 'full'] as const;

let redis: RedisServer;
let upstream: Upstream;
let worlds: Record<(typeof MODES)[number], World>;

beforeAll(async () => {
  [redis, upstream] = await Promise.all([startRedis(), startUpstream()]);
  const opened = await Promise.all(
    MODES.map(async (mode) => {
      const settings = {
        LOOM_CAPTURE: mode,
        LOOM_REDACT: 'project-[a-z]+',
        LOOM_TURN_RETRY_MS: '200',
        LOG_LEVEL: 'debug',
      };
      return [mode, await openWorld({ redis, upstream }, ['gateway', 'trace-grouper'], settings)] as const;
    }),
  );
  worlds = Object.fromEntries(opened) as typeof worlds;
});
afterAll(async () => {
  await Promise.all(Object.values(worlds).map((world) => world.close()));
  await Promise.all([upstream.close(), redis.close()]);
});

const IMAGE = Buffer.from('a picture of a canary '.repeat(40)).toString('base64');
/** What is said in the conversation, by where it is said. */
const SAID = {
  prompt: 'canary-in-the-prompt',
  system: 'canary-in-the-system-prompt',
  thinking: 'canary-in-the-thinking',
  call: 'canary-in-the-tool-call',
  result: 'canary-in-the-tool-result',
  answer: 'canary-in-the-answer',
};
/** What nobody may see, by how it goes out. */
const SECRETS = {
  key: 'k3y-7f3a9c5e01',
  token: 't0ken-5ab1f00d02',
  cookie: 'c00kie-0ddba11503',
  email: 'sam.canary@garden.example',
  pattern: 'project-nightingale',
  printed: 'sk-ant-oat01-Abcdef_123456',
};

const USES: Answer = {
  thinking: SAID.thinking,
  toolUses: ['one', 'two', 'three'].map((name) => ({
    ...{ id: `toolu_${name}`, name: 'Bash' },
    input: { command: `${SAID.call} ${name}` },
  })),
};

function dressed({ headers, ...request }: ClientRequest, change = (body: RequestBody) => body): ClientRequest {
  const credentials = {
    'x-api-key': SECRETS.key,
    authorization: `Bearer ${SECRETS.token}`,
    cookie: `id=${SECRETS.cookie}`,
  };
  const said = { type: 'text', text: `${SAID.system}. The user's email address is ${SECRETS.email}.` };
  return withBody({ ...request, headers: { ...headers, ...credentials } }, (body) => {
    const { user_id } = body['metadata'] as { user_id: string };
    const account = JSON.stringify({ ...JSON.parse(user_id), email: SECRETS.email });
    return change({ ...body, system: [...(body.system as object[]), said], metadata: { user_id: account } });
  });
}

/** With an image behind its newest message's text. */
function withImage(body: RequestBody): RequestBody {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } };
  const messages = (body.messages ?? []).map((message, at, all) => {
    const isNewest = at === all.findLastIndex(({ role }) => role === 'user');
    const content = typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : message.content;
    return isNewest ? { ...message, content: [...(content as object[]), image] } : message;
  });
  return { ...body, messages };
}

/** A turn in which everything is said, and one that fails in two ways. */
async function converse(world: World): Promise<ReceivedSpan[]> {
  const client = talker('a conversation', {}, { cwd: '/home/sam/garden' });
  const secrets = `${SECRETS.pattern} ${SECRETS.printed} ${SECRETS.email}`;
  await world.deliver(dressed(client.prompt(`${SAID.prompt} ${SECRETS.pattern}`), withImage), USES);
  const results = [`${SAID.result} 1 ${secrets}`, `${SAID.result} 2`, `${SAID.result} 3`];
  const second = dressed(client.toolResults(heard(USES), results));
  await world.deliver(second, () => apiError(500, 'api_error', Object.values(SAID).join(' ')));
  await world.deliver(second, (): Reply => cutMidStream(4, 'error', { text: SAID.answer }));
  await world.deliver(second, { text: `${SAID.answer} ${SECRETS.pattern}` });
  const spans = await world.ended(client.session);
  metrics.set(world, await (await fetch(`${world.adminUrl}/metrics`)).text());
  await world.stop();
  return spans;
}

/** What the gateway of a world counted. */
const metrics = new Map<World, string>();

const found = (words: Record<string, string>, text: string) =>
  Object.entries(words).flatMap(([name, word]) => (text.includes(word) ? [name] : []));

describe('telemetry', () => {
  let spans: ReceivedSpan[];
  let big: ReceivedSpan[];

  beforeAll(async () => {
    const { none, metadata, full } = worlds;
    big = await converseAtLength(full);
    [spans] = (await Promise.all([full, none, metadata].map(converse))) as [ReceivedSpan[]];
  });

  test.each(['none', 'metadata'] as const)('says nothing of the conversation with LOOM_CAPTURE=%s', (mode) => {
    const { recorder } = worlds[mode];
    const counted = metrics.get(worlds[mode]) ?? '';

    expect(recorder.spans.filter(({ name }) => name.startsWith('chat '))).toHaveLength(4);
    expect(recorder.logs.length).toBeGreaterThan(0);
    expect(counted).toContain('loom_requests_total{class="main"');
    const words = { ...SAID, ...SECRETS, image: IMAGE.slice(0, 60), metadata: CANARY };
    expect(found(words, recorder.text() + counted)).toEqual([]);
  });

  test('says all of it with LOOM_CAPTURE=full, images by their hash', () => {
    const text = worlds.full.recorder.text();

    expect(found(SAID, text)).toEqual(Object.keys(SAID));
    const hash = createHash('sha256').update(Buffer.from(IMAGE, 'base64')).digest('hex');
    expect(found({ hash: `"uri":"sha256:${hash}"`, image: IMAGE.slice(0, 60) }, text)).toEqual(['hash']);
  });

  test('has no credential, address or metadata in it in any mode, nor what LOOM_REDACT names', () => {
    for (const mode of MODES) expect(found({ ...SECRETS, metadata: CANARY }, worlds[mode].recorder.text())).toEqual([]);
    const root = spans.find(({ name }) => name.startsWith('user-turn'));
    expect(root?.attributes).toMatchObject({
      'input.value': `${SAID.prompt} [redacted]`,
      'output.value': `${SAID.answer} [redacted]`,
    });
  });

  test('shows each result of a parallel batch as a message of its own', () => {
    const answered = spans.find(({ attributes }) =>
      attributes['gen_ai.output.messages']?.toString().includes(SAID.answer),
    );
    const messages = JSON.parse(String(answered?.attributes['gen_ai.input.messages'])) as Message[];

    expect(messages.filter(({ role }) => role === 'tool').map(({ parts }) => parts)).toEqual([
      [
        {
          type: 'tool_call_response',
          id: 'toolu_one',
          response: `${SAID.result} 1 [redacted] [credential] [redacted]`,
        },
      ],
      [{ type: 'tool_call_response', id: 'toolu_two', response: `${SAID.result} 2` }],
      [{ type: 'tool_call_response', id: 'toolu_three', response: `${SAID.result} 3` }],
    ]);
  });

  test('keeps within its limits, and valid, however much is said', () => {
    const { recorder } = worlds.full;
    const texts = recorder.spans.flatMap(({ attributes }) => Object.entries(attributes)).filter(isText);
    const json = texts.filter(([, value]) => /^(\[\{|\{")/.test(value));
    const largest = (values: number[]) => Math.max(...values);

    expect(texts.filter(([, value]) => Buffer.byteLength(value) > 61_440).map(([name]) => name)).toEqual([]);
    expect(json.filter(([, value]) => !isJson(value)).map(([name]) => name)).toEqual([]);
    expect(largest(recorder.spans.map(({ bytes }) => bytes))).toBeLessThanOrEqual(204_800);
    expect(largest(recorder.requests.map(({ bytes }) => bytes))).toBeLessThanOrEqual(16_777_216);
    const cut = big.filter(({ attributes }) => attributes['loom.capture.truncated'] === true).map(({ name }) => name);
    expect(new Set(cut)).toEqual(new Set(['chat claude-opus-5-5']));
  });
});

interface Message {
  role: string;
  parts: object[];
}

/** A prompt of 200 KB, results of 1 MB, an answer of 100 KB, 300 messages before. */
async function converseAtLength(world: World): Promise<ReceivedSpan[]> {
  const client = talker('at length');
  const asks = { toolUses: [{ id: 'toolu_long', name: 'Write', input: { content: '→ "\n'.repeat(50_000) } }] };
  await world.deliver(client.prompt('Weave. '.repeat(30_000)), asks);
  const history = Array.from({ length: 300 }, (_, at) => ({
    role: at % 2 ? 'assistant' : 'user',
    content: 'x'.repeat(900),
  }));
  const second = withBody(client.toolResults(heard(asks), ['\u0001🌱'.repeat(200_000)]), (body) => ({
    ...body,
    messages: [...history, ...(body.messages ?? [])],
  }));
  await world.deliver(second, { text: 'woven '.repeat(17_000) });
  return world.ended(client.session);
}

const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    // That is the answer.
    return false;
  }
}
