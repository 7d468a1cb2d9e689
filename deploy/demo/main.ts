import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Anthropic from '@anthropic-ai/sdk';
import { type DataOf, decodeEvent, type EventType, type LoomEvent } from '@loom/shared/event.ts';
import { CANARY } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { hookOutput } from '../hook-output.ts';
import { startLocalStack } from '../local-stack.ts';
import { describeRequest } from './report.ts';
import { AFTER, COMPACTION, TURNS } from './story.ts';

const HELP = `Shows a canned conversation through the whole stack: the real services and a real Redis of their own, a scripted
API, a simulated Claude Code that sends by @anthropic-ai/sdk. No key, no network.

usage: make demo      (or: node deploy/demo/main.ts)
`;
const CONSOLE = join(import.meta.dirname, '../../services/console/src/main.ts');
/** A turn ends so long after its last answer, milliseconds: nobody types on. */
const GRACE_MS = 100;
/** On a machine that is slow or busy, too, the edits are shown, and not how a request goes out without them. */
const PATIENCE = { LOOM_INTRO_HOLD_MS: '2000', LOOM_READ_MS: '300' };
const run = promisify(execFile);
/** Whoever read what is said has left, as `head` does. */
class ReaderLeft extends Error {
  override name = 'ReaderLeft';
}
let isRead = true;
process.stdout.on('error', () => {
  isRead = false;
});
const say = (line = '') => process.stdout.write(`${line}\n`);

if (process.argv.includes('--help')) {
  say(HELP);
  process.exit(0);
}

const redis = await startRedis();
const upstream = await startUpstream();
const state = await mkdtemp(join(tmpdir(), 'loom-demo-'));
const client = redis.client();
say('starting the gateway, the rewriters and a Redis …');
const stack = await startLocalStack({
  redisUrl: redis.url,
  upstreamUrl: upstream.url,
  state,
  line: (service, line) => say(`${service}: ${line}`),
  environment: { LOOM_HUMAN: 'Sam', LOOM_TURN_GRACE_MS: String(GRACE_MS), ...PATIENCE },
});

const sdk = new Anthropic({ baseURL: stack.url, apiKey: 'demo', maxRetries: 0 });
const claude = new ClaudeCode({
  version: '2.1.330',
  hintHeaders: true,
  hook: (prompt, session, promptId) => hookOutput({ prompt, session_id: session, prompt_id: promptId }),
});

let count = 0;
let turns = 0;

/** Sends one request by the SDK, lets the scripted API give this answer, and tells what happened on the way. */
async function exchange(title: string, request: ClientRequest, scripted: Answer): Promise<void> {
  if (!isRead) throw new ReaderLeft();
  count++;
  upstream.script = answer(scripted);
  const { body, headers } = request;
  const stream = sdk.beta.messages.stream(JSON.parse(body.toString()), { headers });
  await stream.finalMessage();
  await until(async () => (await events('responses', 'response.completed')).length === count, { withinMs: 10_000 });

  const received = (await events('requests', 'request.received')).at(-1)?.data as DataOf<'request.received'>;
  const outcome = (await events('responses', 'request.forwarded')).at(-1)?.data as DataOf<'request.forwarded'>;
  const proposals = await events(`edits:${received.gateway}`, 'edits.proposed');
  const lines = describeRequest({
    title: `${count}. ${title}`,
    sent: body,
    forwarded: upstream.requests.at(-1) as (typeof upstream.requests)[number],
    received,
    outcome,
    proposals: proposals.map(({ data }) => data).filter(({ requestId }) => requestId === received.requestId),
    answer: scripted.text ?? (scripted.toolUses ?? []).map(({ name }) => `(calls ${name})`).join(' '),
  });
  say();
  for (const line of lines) say(line);
}

/** Shows the turn that has just ended, as `loom trace` does. */
async function showTurn(): Promise<void> {
  turns++;
  await until(async () => (await events('turns', 'turn.ended')).length === turns, { withinMs: 15_000 });
  const { stdout } = await run(process.execPath, [CONSOLE, 'trace', claude.session], {
    env: { ...process.env, REDIS_URL: redis.url, LOOM_KEY_PREFIX: 'loom' },
  });
  say();
  say('the turn (loom trace):');
  say(stdout.trimEnd().replaceAll(/^(?=.)/gm, '  '));
}

async function events<Type extends EventType>(stream: string, type: Type): Promise<LoomEvent<Type>[]> {
  const entries = await client.xrange(`loom:${stream}`, '-', '+');
  return entries.map(([, fields]) => decodeEvent(fields)).filter((event) => event.type === type) as LoomEvent<Type>[];
}

/** What Intro does between the turns. */
async function surface(memorables: string[]): Promise<void> {
  const key = `intro:memorables:${claude.session}`;
  await client
    .multi()
    .del(key)
    .rpush(key, ...memorables)
    .exec();
}

try {
  for (const { memorables, prompt, toolUse, toolResult, answer: text } of TURNS) {
    await surface(memorables);
    await exchange(`“${prompt}”`, claude.prompt(prompt), { toolUses: [toolUse] });
    await exchange(
      `the result of ${toolUse.name}`,
      claude.toolResults(messageOf({ toolUses: [toolUse] }), [toolResult]),
      { text },
    );
    claude.receive(messageOf({ text }));
    await showTurn();
  }
  const { args, summary } = COMPACTION;
  await exchange(`/compact ${args}`, claude.compact({ trigger: 'manual', args }), summary);
  claude.compacted(summary.text);
  await exchange(`“${AFTER.prompt}” after the compaction`, claude.prompt(AFTER.prompt), { text: AFTER.answer });
  await showTurn();

  say();
  say('On the streams (redis-cli XRANGE loom:requests - +):');
  for (const key of (await client.keys('loom:*')).sort()) {
    // BullMQ's own stream tells of its jobs.
    if (key.startsWith('loom:bull:') || (await client.type(key)) !== 'stream') continue;
    const types = (await client.xrange(key, '-', '+')).map(([, fields]) => decodeEvent(fields).type);
    const counted = [...new Set(types)].map((type) => `${type} × ${types.filter((one) => one === type).length}`);
    say(`  ${key.replace(/(?<=edits:).*/, '<gateway>')}: ${counted.join(', ')}`);
  }
  const leaked = upstream.requests.filter(({ body }) => body.includes(CANARY)).length;
  say();
  say(`Requests in which metadata reached the API: ${leaked} of ${upstream.requests.length}.`);
  if (leaked > 0) process.exitCode = 1;
} catch (error) {
  // Nobody is there to be shown the rest.
  if (!(error instanceof ReaderLeft)) throw error;
} finally {
  await stack.stop();
  client.disconnect();
  await upstream.close();
  await redis.close();
  await rm(state, { recursive: true, force: true });
}
