import type { DataOf, EditOutcome } from '@loom/shared/event.ts';
import type { RecordedRequest } from '@loom/shared/testing/upstream.ts';

/** What is known of one request when it is over. */
export interface Told {
  title: string;
  sent: Buffer;
  forwarded: RecordedRequest;
  received: DataOf<'request.received'>;
  outcome: DataOf<'request.forwarded'>;
  proposals: DataOf<'edits.proposed'>[];
  answer: string;
}

const WIDTH = 72;
const MAX_LINES = 5;

/** Describes one request: what Loom changed in it, why, and what the prompt cache made of it. */
export function describeRequest(told: Told): string[] {
  const { title, sent, forwarded, received, outcome, proposals, answer } = told;
  const usage = forwarded.usage();
  const all = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;
  const lines = [
    title,
    `  ${sent.length} bytes from the client, ${forwarded.body.length} to the API; class ${received.class}, profile ${received.profile}`,
  ];
  if (forwarded.body.equals(sent)) lines.push('  nothing to change: the very same bytes');
  if (outcome.metadataBlocks > 0)
    lines.push(`  cut: ${outcome.metadataBlocks} metadata block(s), the whole history's, so that the prefix stays`);
  if (outcome.replayed > 0)
    lines.push(`  replayed: ${outcome.replayed} durable edit(s) of earlier turns, byte for byte, nobody asked`);
  for (const edit of outcome.edits) lines.push(...describeEdit(edit, received, proposals));
  lines.push(
    `  prompt cache: ${usage.cache_read_input_tokens} of ${all} tokens read, ${usage.cache_creation_input_tokens} written`,
  );
  lines.push(`  answer: ${shorten(answer)}`);
  return lines;
}

function describeEdit(
  edit: EditOutcome,
  received: DataOf<'request.received'>,
  proposals: DataOf<'edits.proposed'>[],
): string[] {
  const why = received.awaited.find(({ rewriter }) => rewriter === edit.rewriter)?.labels.join(', ') ?? 'not asked';
  const lines = [
    `  ${edit.rewriter} (asked because: ${why}): ${edit.outcome}, after ${edit.waitedMs} ms${edit.reason ? `, ${edit.reason}` : ''}`,
  ];
  for (const { op, path, ...rest } of proposals.find(({ rewriter }) => rewriter === edit.rewriter)?.edits ?? []) {
    if (op === 'test') continue;
    const durable = 'durable' in rest && rest.durable ? ', durable' : '';
    lines.push(`    ${op} ${path}${durable}`);
    const before = received.view?.matched?.find(({ pointer }) => pointer === path)?.text;
    if (op === 'replace' && before) lines.push(...quote('-', changedPart(before, textOf(rest))));
    if ('value' in rest) lines.push(...quote('+', before ? changedPart(textOf(rest), before) : textOf(rest)));
  }
  return lines;
}

function textOf(rest: object): string {
  const value = 'value' in rest ? rest.value : '';
  return typeof value === 'string' ? value : ((value as { text?: string }).text ?? '');
}

/** The first lines of a text, each with its sign. */
function quote(sign: '-' | '+', text: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const shown = lines.slice(0, MAX_LINES).map((line) => `      ${sign} ${shorten(line)}`);
  return lines.length > MAX_LINES ? [...shown, `      ${sign} … ${lines.length - MAX_LINES} more lines`] : shown;
}

/** The part of a text that the other one does not begin with. */
function changedPart(text: string, other: string): string {
  let at = 0;
  while (at < text.length && text[at] === other[at]) at++;
  return at > 0 && at < text.length ? `…${text.slice(at)}` : text;
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > WIDTH ? `${line.slice(0, WIDTH - 1)}…` : line;
}
