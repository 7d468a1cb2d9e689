import type { Block, BodyTree } from './body-tree.ts';
import { effectiveText } from './human-text.ts';

const OPENING = 'x-anthropic-billing-header:';

/**
 * Whether this is the client's attribution block, which api.anthropic.com strips by position: it is never altered, gets
 * no cache marker, and nothing goes before it (code.claude.com/docs/en/llm-gateway-protocol).
 */
export function isAttribution(tree: BodyTree, block: Block): boolean {
  return effectiveText(tree, block)?.startsWith(OPENING) ?? false;
}
