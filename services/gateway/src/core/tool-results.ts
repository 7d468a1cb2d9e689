import type { DataOf } from '@loom/shared/event.ts';
import { type BodyTree, keptBlocks, type Message } from './body-tree.ts';
import { decodeToken } from './json-text.ts';

const MAX_RESULTS = 500;
const MAX_ID_BYTES = 200;
const utf8 = new TextDecoder('utf-8');

type ToolResults = NonNullable<DataOf<'request.forwarded'>['toolResults']>;

/** The messages that came after the newest answer: what is new in this request. */
export function newMessages(tree: BodyTree): Message[] {
  const answer = tree.messages.findLastIndex(({ role }) => role === 'assistant');
  return tree.messages.slice(answer + 1).filter(({ removed }) => !removed);
}

/** What the client's tools gave back since the last answer, in order; at most 500, without their output. */
export function toolResultsOf(tree: BodyTree): ToolResults {
  const blocks = newMessages(tree).flatMap(({ content }) => (content ? keptBlocks(content) : []));
  return blocks
    .filter(({ type }) => type === 'tool_result')
    .slice(0, MAX_RESULTS)
    .flatMap(({ toolUseId, isError }) => {
      if (!toolUseId || toolUseId.end - toolUseId.start > MAX_ID_BYTES) return [];
      const id = decodeToken(tree.bytes, toolUseId);
      const says = isError ? utf8.decode(tree.bytes.subarray(isError.start, isError.end)) : '';
      return id === undefined ? [] : [{ id, isError: says === 'true' }];
    });
}
