import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { startRedis } from '@loom/shared/testing/redis.ts';
import { answer } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import { startUpstream } from '@loom/shared/testing/upstream.ts';
import { hookOutput } from '../hook-output.ts';
import { startLocalStack } from '../local-stack.ts';

const MODEL = 'claude-opus-5-5';
const GRACE_MS = 200;
const SETTLED_WITHIN_MS = 60_000;

/** What was said, and so what a backend has to show. */
export interface Told {
  session: string;
  turns: { prompt: string; answer: string; calls: number; tools: { name: string; input: object; result: string }[] }[];
  /** Of all calls, as the client got them. */
  tokens: { prompt: number; completion: number };
}

export interface Telling {
  /** OTLP over HTTP: where every service sends its spans. */
  endpoint: string;
  /** Phoenix's. */
  project: string;
  /** Whether the endpoint takes metrics too. Default: true. */
  takesMetrics?: boolean;
  /** Asked until it is true; only then is the stack stopped. */
  isSettled: (told: Told) => Promise<boolean> | boolean;
  line: (line: string) => void;
}

const tools = {
  notes: { id: 'toolu_notes', name: 'Bash', input: { command: 'cat garden/notes.md' } },
  plan: { id: 'toolu_plan', name: 'Read', input: { file_path: '/home/user/garden/plan.md' } },
  agent: { id: 'toolu_agent', name: 'Task', input: { description: 'Measure the sun', prompt: 'Which spot is sunny?' } },
};

/**
 * Holds a conversation through the whole stack, with the real hook and the real services against a scripted API: a title,
 * a turn with two tools at once, one with a subagent, and one that is just answered.
 */
export async function holdConversation(telling: Telling): Promise<Told> {
  const { endpoint, project, takesMetrics = true, isSettled, line } = telling;
  const redis = await startRedis();
  const upstream = await startUpstream();
  const state = await mkdtemp(join(tmpdir(), 'loom-otel-'));
  const stack = await startLocalStack({
    redisUrl: redis.url,
    upstreamUrl: upstream.url,
    state,
    line: (service, text) => line(`${service}: ${text}`),
    environment: {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      ...(!takesMetrics && { OTEL_METRICS_EXPORTER: 'none' }),
      LOOM_PROJECT: project,
      LOOM_TURN_GRACE_MS: String(GRACE_MS),
      LOOM_HUMAN: 'Sam',
      CLAUDE_DATA_DIR: state,
    },
  });

  const sdk = new Anthropic({ baseURL: stack.url, apiKey: 'demo', maxRetries: 0 });
  const claude = new ClaudeCode({
    version: '2.1.330',
    model: MODEL,
    // Nobody else's: Phoenix keeps a session, and a span, under the id that it has seen first.
    session: crypto.randomUUID(),
    hintHeaders: true,
    hook: (prompt, session, promptId) => hookOutput({ prompt, session_id: session, prompt_id: promptId }),
  });
  const told: Told = { session: claude.session, turns: [], tokens: { prompt: 0, completion: 0 } };

  async function exchange({ body, headers }: ClientRequest, scripted: Answer): Promise<void> {
    upstream.script = answer({ ...scripted, id: `msg_${upstream.requests.length}` });
    const request = JSON.parse(body.toString());
    const { usage } = await sdk.beta.messages.stream(request, { headers }).finalMessage();
    const { input_tokens: input, cache_read_input_tokens: read, cache_creation_input_tokens: written } = usage;
    told.tokens.prompt += input + (read ?? 0) + (written ?? 0);
    told.tokens.completion += usage.output_tokens;
  }

  async function tellTurns(): Promise<void> {
    const [basil, spot, thanks] = ['Is there anything on the basil in my notes?', 'Which spot is sunny?', 'Thank you!'];
    const asks = { thinking: 'The notes, and the plan.', toolUses: [tools.notes, tools.plan] };
    const results = ['basil: repotted in May', 'the rail faces north'];
    await exchange(claude.prompt(basil), asks);
    await exchange(claude.title(), { text: '{"title":"The pale basil"}' });
    await exchange(claude.toolResults(messageOf(asks), results), { text: 'It was repotted in May.' });
    claude.receive(messageOf({ text: 'It was repotted in May.' }));
    const used = [tools.notes, tools.plan].map(({ name, input }, at) => ({
      name,
      input,
      result: results[at] as string,
    }));
    told.turns.push({ prompt: basil, answer: 'It was repotted in May.', calls: 3, tools: used });

    const delegates = { toolUses: [tools.agent] };
    const found = 'The kitchen window: 4 hours.';
    await exchange(claude.prompt(spot), delegates);
    await exchange(claude.subagent('Which spot is sunny?'), { text: found });
    const { headers, ...request } = claude.toolResults(messageOf(delegates), [found]);
    // The simulated client says 38 ms, which are over before a busy machine's subagent has begun.
    const { 'x-claude-code-prev-tool-durations': _, ...untimed } = headers;
    await exchange({ ...request, headers: untimed }, { text: 'The kitchen window.' });
    claude.receive(messageOf({ text: 'The kitchen window.' }));
    const { name, input } = tools.agent;
    told.turns.push({ prompt: spot, answer: 'The kitchen window.', calls: 3, tools: [{ name, input, result: found }] });

    await exchange(claude.prompt(thanks), { text: 'With pleasure.' });
    claude.receive(messageOf({ text: 'With pleasure.' }));
    told.turns.push({ prompt: thanks, answer: 'With pleasure.', calls: 1, tools: [] });
  }

  try {
    await tellTurns();
    await until(() => isSettled(told), { withinMs: SETTLED_WITHIN_MS });
    return told;
  } finally {
    await stack.stop();
    await upstream.close();
    await redis.close();
    await rm(state, { recursive: true, force: true });
  }
}
