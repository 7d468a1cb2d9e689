import { describe, expect, test } from '@jest/globals';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import type { ClientRequest } from '@loom/shared/testing/claude-code/request.ts';
import { placeRequest, readRequest } from '../../src/core/messages-request.ts';
import { acceptAll, sha256 } from './fixtures/body.ts';

const answer = (said: string) => ({ content: [{ type: 'text', text: said }] });
const toolUse = { content: [{ type: 'tool_use', id: 'toolu_1', name: 'Task', input: {} }] };

function clientOf(options: ClaudeCodeOptions): ClaudeCode {
  return new ClaudeCode({
    hook: (prompt, session) => formatMetadata({ session_id: session, prompt, source: 'alpha' }),
    ...options,
  });
}

/** The class of a request in a session of the profile alpha. */
function classOf({ headers, body }: ClientRequest): string {
  const lowerCase = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return placeRequest(readRequest(body, lowerCase, acceptAll), lowerCase, { profile: 'alpha' }, sha256).class;
}

/** Every kind of call around a turn. */
function callsOf(client: ClaudeCode, version: string): Record<string, string> {
  const calls: Record<string, string> = { turn: classOf(client.prompt('Look at the garden.')) };
  const call = (name: string, versions: string[], request: () => ClientRequest) => {
    if (versions.includes(version)) calls[name] = classOf(request());
  };
  const old = ['1.0.128', '2.0.76'];
  const recent = ['2.1.118', '2.1.330'];
  call('warmup', ['2.0.76'], () => client.warmup());
  call('topic', old, () => client.topic());
  call('title', [...old, ...recent], () => client.title());
  call('classifier', ['2.1.330'], () => client.classifier());
  call('subagent', [...old, ...recent], () => client.subagent('Find the seeds.'));
  calls['toolLoop'] = classOf(client.toolResults(toolUse, ['Found.']));
  call('commandPaths', old, () => client.commandPaths('ls', 'a'));
  call('count', ['2.1.330'], () => client.countTokens());
  client.receive(answer('Done.'));
  calls['bash'] = classOf(client.bash('ls', 'a'));
  client.receive(answer('I see.'));
  calls['manualCompaction'] = classOf(client.compact({ trigger: 'manual', args: 'Keep the names.' }));
  client.compacted('<summary>All.</summary>');
  calls['afterManual'] = classOf(client.prompt('And now?'));
  client.receive(answer('Now this.'));
  const midToolLoop = { message: toolUse, results: ['a'] };
  calls['midLoopCompaction'] = classOf(client.compact({ trigger: 'auto', midToolLoop }));
  client.compacted('<summary>All of it.</summary>');
  calls['afterMidLoop'] = classOf(client.continueAfterCompaction());
  client.receive(answer('Going on.'));
  calls['promptCompaction'] = classOf(client.compact({ trigger: 'auto', newPrompt: 'What is next?' }));
  client.compacted('<summary>All.</summary>');
  calls['afterPrompt'] = classOf(client.continueAfterCompaction());
  return calls;
}

const MAIN = {
  turn: 'main',
  toolLoop: 'main',
  bash: 'main',
  manualCompaction: 'compaction',
  afterManual: 'main',
  midLoopCompaction: 'compaction',
  afterMidLoop: 'main',
  promptCompaction: 'compaction',
  afterPrompt: 'main',
  title: 'auxiliary',
  subagent: 'subagent',
};
const OLD = { ...MAIN, topic: 'auxiliary', commandPaths: 'auxiliary' };
const NEWEST = { ...MAIN, classifier: 'auxiliary', count: 'main' };

describe('classify', () => {
  test.each<[string, ClaudeCodeOptions, Record<string, string>]>([
    ['1.0.128', { version: '1.0.128' }, OLD],
    ['2.0.76', { version: '2.0.76', mode: 'cli' }, { ...OLD, warmup: 'probe' }],
    ['2.1.118', { version: '2.1.118' }, MAIN],
    ['2.1.118, typed in', { version: '2.1.118', mode: 'cli' }, MAIN],
    ['2.1.330', { version: '2.1.330' }, NEWEST],
    ['2.1.330, with hint headers', { version: '2.1.330', hintHeaders: true }, NEWEST],
    ['2.1.330, with an older model', { version: '2.1.330', model: 'claude-opus-4-6' }, NEWEST],
  ])('knows every call of client %s', (_, options, expected) => {
    expect(callsOf(clientOf(options), options.version)).toEqual(expected);
  });

  test('takes a pasted compaction instruction for the prompt that it is, in every client', () => {
    for (const version of ['1.0.128', '2.0.76', '2.1.118', '2.1.330'] as const) {
      const other = clientOf({ version });
      other.prompt('Hello.');
      other.receive(answer('Hello.'));
      const { messages } = JSON.parse(other.compact({ trigger: 'manual' }).body.toString()) as {
        messages: { content: string | { text: string }[] }[];
      };
      const content = messages.at(-1)?.content ?? '';
      const instruction = typeof content === 'string' ? content : (content.at(-1)?.text ?? '');
      expect(instruction).toContain('Your task is to create a detailed summary of');

      const client = clientOf({ version });
      const pasted = classOf(client.prompt(instruction));
      client.receive(answer('Why?'));
      const asked = classOf(client.compact({ trigger: 'manual' }));

      expect([version, pasted, asked]).toEqual([version, 'main', 'compaction']);
    }
  });

  test('takes an instruction behind a short prompt for what it is, when the prompt is spent on the compaction', () => {
    const client = clientOf({ version: '2.1.118' });
    client.prompt('Hello.');
    client.receive(answer('Hello.'));

    expect(classOf(client.compact({ trigger: 'auto', newPrompt: 'C' }))).toBe('compaction');
  });
});
