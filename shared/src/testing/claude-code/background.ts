import { type Message, textBlock, userMessage, wired } from './message.ts';
import { isRecent, RELEASES } from './release.ts';
import { type Client, type ClientRequest, callBody, clientRequest, type Hints, metadataOf, uuidOf } from './request.ts';
import { subagentTools, toolsOf } from './tools.ts';

/** The calls that are not turns. Each takes the client as it is at that moment. */

/** Names the session; 1.0 and 2.0 do it on resume, from a text that holds the conversation. */
export function titleRequest(client: Client, conversation: string[]): ClientRequest {
  const { version, model } = client;
  const { smallModel } = RELEASES[version];
  if (!isRecent(version)) {
    const system = 'Summarize this coding conversation in under 50 characters.\nSay what it is about, nothing else.';
    const text = `This is the conversation:\n\n${conversation.join('\n\n')}`;
    return auxiliary(client, { model: smallModel, system, text, maxTokens: 512 });
  }
  const [system, namer] =
    version === '2.1.118'
      ? ['Generate a concise, sentence-case title for what the person wants to do.', smallModel]
      : ['You are naming a coding session. A few plain words are enough.', model];
  const schema = { type: 'object', properties: { title: { type: 'string' } }, required: ['title'] };
  return auxiliary(client, {
    model: namer,
    system,
    text: conversation[0] ?? '',
    maxTokens: 512,
    hints: { '1p-request-class': 'summary-extraction' },
    more: { output_config: { format: { type: 'json_schema', schema } } },
  });
}

/** Asks at every prompt whether it opens a new topic; 1.0 and 2.0. */
export function topicRequest(client: Client, text: string): ClientRequest {
  only(client, ['1.0.128', '2.0.76'], 'asks for a topic');
  const system = 'Analyze if this message indicates a new conversation topic.\nAnswer as JSON: isNewTopic and title.';
  const prefill = client.version === '2.0.76' ? [{ role: 'assistant' as const, content: [textBlock('{')] }] : [];
  return auxiliary(client, { model: RELEASES[client.version].smallModel, system, text, maxTokens: 512, prefill });
}

/** Asks, after each Bash call, which files it touched; 1.0 and 2.0. */
export function commandPathsRequest(client: Client, command: string, output: string): ClientRequest {
  only(client, ['1.0.128', '2.0.76'], 'asks for the paths of a command');
  const system = 'Extract any file paths that this command reads or modifies.\nOne path a line.';
  const text = `Command: ${command}\nOutput: ${output}`;
  return auxiliary(client, { model: RELEASES[client.version].smallModel, system, text, maxTokens: 512 });
}

/** 2.0.76 sends this at its start. */
export function warmupRequest(client: Client): ClientRequest {
  only(client, ['2.0.76'], 'warms up');
  const maxTokens = RELEASES[client.version].maxTokens;
  return clientRequest(
    client,
    callBody(client, { role: 'subagent', messages: [userMessage('Warmup')], tools: [], maxTokens }),
  );
}

/** The auto mode's classifier of 2.1.330: large, not streamed, without tools. */
export function classifierRequest(client: Client, transcript: string): ClientRequest {
  only(client, ['2.1.330'], 'classifies');
  const rule = 'A command that reaches outside the working folder is told apart from one that does not. ';
  return auxiliary(client, {
    model: 'claude-sonnet-5',
    system: `You are a security monitor for autonomous AI coding agents.\n${rule.repeat(1_600)}`,
    text: `<transcript>\n${transcript}\n</transcript>`,
    maxTokens: 4_096,
    streamed: false,
  });
}

/** An agent's first call: the task is all that it knows of the conversation. */
export function subagentRequest(client: Client, prompt: string, promptId: string | undefined): ClientRequest {
  const { version, session } = client;
  const body = callBody(client, {
    role: 'subagent',
    messages: [userMessage(prompt)],
    tools: subagentTools(version),
    maxTokens: RELEASES[version].maxTokens,
  });
  return clientRequest(client, body, {
    agentId: `a${uuidOf(`${session} ${prompt}`).replaceAll('-', '').slice(0, 16)}`,
    hints: {
      'request-class': 'subagent',
      '1p-request-class': 'blocking-subagent',
      ...(promptId !== undefined && { 'prompt-id': promptId }),
      'agent-type': 'general-purpose',
    },
  });
}

/** What `/context` asks, for the whole conversation. */
export function countTokensRequest(client: Client, messages: Message[]): ClientRequest {
  only(client, ['2.1.330'], 'counts tokens');
  const body = {
    model: client.model,
    messages: wired(messages, RELEASES[client.version]),
    tools: toolsOf(client.version),
  };
  return clientRequest(client, body, { path: '/v1/messages/count_tokens', betas: ['token-counting-2024-11-01'] });
}

interface Auxiliary {
  model: string;
  system: string;
  text: string;
  maxTokens: number;
  prefill?: Message[];
  streamed?: boolean;
  hints?: Hints;
  more?: object;
}

function auxiliary(client: Client, call: Auxiliary): ClientRequest {
  const { model, system, text, maxTokens, prefill = [], streamed = true, hints, more } = call;
  const body = {
    model,
    messages: [userMessage(text), ...prefill],
    system: [textBlock(system)],
    ...(streamed && { tools: [] }),
    metadata: metadataOf(client),
    max_tokens: maxTokens,
    ...more,
    stream: streamed,
  };
  return clientRequest(client, body, { hints: { 'request-class': 'auxiliary', ...hints } });
}

function only({ version }: Client, versions: string[], act: string): void {
  if (!versions.includes(version))
    throw new Error(`expected a version that ${act} (${versions.join(', ')}), got ${version}`);
}
