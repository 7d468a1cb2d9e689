import type { Answer } from '@loom/shared/testing/answer.ts';
import { answer, type Reply } from '@loom/shared/testing/reply.ts';
import type { RecordedRequest, RequestBody } from '@loom/shared/testing/upstream.ts';
import { PROMPTS } from './prompts.ts';

/** What every summary in these tests says. */
export const SUMMARY = 'We looked at the garden, and the gate is mended.';

/** The scripted upstream's reply: depends on the request alone, so that whoever has the request knows the answer. */
export function respond(request: RecordedRequest): Reply {
  return answer(modelAnswer(request.method === 'POST' ? request.json() : {}))(request);
}

/** A tool for what a person typed, words for a tool's result, a summary for a compaction. */
export function modelAnswer({ messages = [], tools = [] }: RequestBody): Answer {
  const newest = messages.findLast(({ role }) => role !== 'system');
  const text = JSON.stringify(newest?.content ?? '');
  if (text.includes(PROMPTS.compact) || text.includes('Your task is to create a detailed summary of'))
    return { text: `<analysis>\nAll of it.\n</analysis>\n<summary>\n${SUMMARY}\n</summary>` };
  if (text.includes('"tool_result"') || tools.length === 0) return { text: `Seen, at message ${messages.length}.` };
  const command = `ls garden/${messages.length}`;
  return { toolUses: [{ id: `toolu_${messages.length}`, name: 'Bash', input: { command } }] };
}
