import { createHash } from 'node:crypto';
import { type Message, wired } from './message.ts';
import { type ClientVersion, isRecent, type Mode, RELEASES } from './release.ts';
import { type Role, stamped, systemBlocks } from './system-prompt.ts';

export interface ClientRequest {
  method: 'POST';
  /** Path and query. */
  path: string;
  /** In the order and the case in which the client writes them; without host and content-length. */
  headers: Record<string, string>;
  body: Buffer;
}

/** Who sends a request. */
export interface Client {
  version: ClientVersion;
  model: string;
  mode: Mode;
  session: string;
  apiKey: string;
  hintHeaders: boolean;
}

/** `x-claude-code-<name>` headers that 2.1.330 sends when it is told to. */
export type Hints = Record<string, string>;

export interface Extras {
  path?: string;
  betas?: string[];
  hints?: Hints;
  agentId?: string;
}

export function clientRequest(client: Client, body: object, extras: Extras = {}): ClientRequest {
  const text = stamped(JSON.stringify(body));
  return {
    method: 'POST',
    path: `${extras.path ?? '/v1/messages'}?beta=true`,
    headers: headersOf(client, extras),
    body: Buffer.from(text),
  };
}

function headersOf(client: Client, { betas = [], hints = {}, agentId }: Extras): Record<string, string> {
  const { version, mode } = client;
  const release = RELEASES[version];
  const isNode = release.runtime === 'node';
  const headers = {
    Accept: 'application/json',
    'Content-Type': 'application/json',
    'User-Agent': `claude-cli/${version} (external, ${mode})`,
    ...(isRecent(version) && { 'X-Claude-Code-Session-Id': client.session }),
    'X-Stainless-Arch': 'x64',
    'X-Stainless-Lang': 'js',
    'X-Stainless-OS': 'Linux',
    'X-Stainless-Package-Version': release.sdk,
    'X-Stainless-Retry-Count': '0',
    'X-Stainless-Runtime': 'node',
    'X-Stainless-Runtime-Version': release.runtimeVersion,
    'X-Stainless-Timeout': '600',
    'anthropic-beta': [...release.betas[mode], ...betas].join(','),
    'anthropic-dangerous-direct-browser-access': 'true',
    'anthropic-version': '2023-06-01',
    'x-api-key': client.apiKey,
    'x-app': 'cli',
    ...(version === '2.1.330' && agentId !== undefined && { 'x-claude-code-agent-id': agentId }),
    ...(version === '2.1.330' && client.hintHeaders && prefixed(hints)),
    ...(isNode && { 'x-stainless-helper-method': 'stream', 'accept-language': '*', 'sec-fetch-mode': 'cors' }),
    'Accept-Encoding': isNode ? 'gzip, deflate' : 'gzip, deflate, br, zstd',
  };
  // The clients that run under node write every name in lower case.
  return isNode
    ? Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
    : headers;
}

function prefixed(hints: Hints): Record<string, string> {
  return Object.fromEntries(Object.entries(hints).map(([name, value]) => [`x-claude-code-${name}`, value]));
}

export interface Call {
  role: Role;
  messages: Message[];
  tools: object[];
  maxTokens: number;
}

/** The body of a turn, a subagent's call or a compaction, with its keys in the release's order. */
export function callBody(client: Client, { role, messages, tools, maxTokens }: Call): object {
  const { version, mode, model } = client;
  const system = systemBlocks(version, mode, role, messages[0]?.content[0]?.text ?? '');
  const opening = { model, messages: wired(messages, RELEASES[version]) };
  const limits = { system, tools, metadata: metadataOf(client), max_tokens: maxTokens };

  if (version === '1.0.128') return { ...opening, temperature: 1, ...limits, stream: true };
  if (version === '2.0.76') return { ...opening, ...limits, stream: true };
  return {
    ...opening,
    ...limits,
    thinking: { type: 'adaptive' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    ...(version === '2.1.330' && mode === 'cli' && { safeguards: { enabled: true } }),
    output_config: { effort: 'high' },
    stream: true,
  };
}

const DEVICE = createHash('sha256').update('a simulated device').digest('hex');

/** Where every release says its session id. */
export function metadataOf({ version, session }: Client): { user_id: string } {
  return {
    user_id: isRecent(version)
      ? JSON.stringify({ device_id: DEVICE, account_uuid: '', session_id: session })
      : `user_${DEVICE}_account__session_${session}`,
  };
}

/** A UUID that depends on the seed alone. */
export function uuidOf(seed: string): string {
  const hex = createHash('sha256').update(seed).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    '-',
  );
}
