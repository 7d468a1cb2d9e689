import type { DataOf, LoomEvent } from '@loom/shared/event.ts';
import { createLog } from '@loom/shared/log.ts';
import type { CompactionPrompts } from '../src/core/prompts.ts';

type Data = DataOf<'request.received'>;

/** Prompts whose texts are easily told apart. */
export const PROMPTS: CompactionPrompts = {
  profile: 'alpha',
  version: 'v1',
  identity: 'I am Alpha.',
  compact: 'I write my notes, inside <summary> and </summary>.',
  argumentLead: 'Sam asked for this:',
  continuation: 'Hello, it is you. Wait for Sam.',
};

/** A request of session s1 as the gateway shows it, changed by `data`. */
export function received(data: Partial<Data> = {}): LoomEvent<'request.received'> {
  return {
    type: 'request.received',
    id: 'e1',
    source: '/loom/gateway/g1',
    subject: 's1',
    time: '2026-11-22T12:00:00.000Z',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    data: {
      requestId: 'r1',
      gateway: 'g1',
      class: 'main',
      profile: 'alpha',
      model: 'claude-opus-5-5',
      replyStream: 'loom:edits:g1',
      awaited: [{ rewriter: 'compact-rewriter', holdMs: 10_000, labels: [] }],
      path: '/v1/messages',
      stream: true,
      body: { bytes: 100, messages: 1, tools: 1, sha256: 'a'.repeat(64) },
      ...data,
    },
  };
}

/** The last message of a request, made of texts; an item that is no string is a block as it stands. */
export function last(...content: (string | { type: string })[]): NonNullable<Data['view']> {
  const blocks = content.map((block) => (typeof block === 'string' ? { type: 'text', text: block } : block));
  return { last: { pointer: '/messages/4', role: 'user', content: blocks } };
}

/** A text that holds a literal of ours. */
export function matched(text: string, pointer = '/messages/0/content/0/text', role = 'user') {
  return { label: 'any', pointer, role, text };
}

/** A log that is read and not printed. */
export function readLog() {
  const log = createLog({ service: 'compact-rewriter', level: 'info' });
  for (const transport of log.transports) transport.silent = true;
  const lines: string[] = [];
  log.on('data', ({ level, message }) => lines.push(`${level}: ${message}`));
  return { log, lines };
}
