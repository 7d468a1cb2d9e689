import type { Edit } from '@loom/shared/edit.ts';
import { type EditOutcome, KEEP, type LoomEvent, type RequestView } from '@loom/shared/event.ts';
import { counted } from '@loom/shared/figures.ts';
import { plain } from '@loom/shared/plain.ts';
import { describeData } from './event-facts.ts';
import { fitLine, type Piece, type Screen } from './screen.ts';
import { shortSession } from './session.ts';
import { formatWordDiff } from './word-diff.ts';

/** The events of one HTTP exchange that are still there. */
export interface ExchangeEvents {
  requestId: string;
  received?: LoomEvent<'request.received'> | undefined;
  forwarded?: LoomEvent<'request.forwarded'> | undefined;
  response?: LoomEvent<'response.completed' | 'response.failed'> | undefined;
  /** What rewriters answered. */
  proposed: LoomEvent<'edits.proposed'>[];
  alerts: LoomEvent<'rewriter.bypassed' | 'identity.lost' | 'compaction.unrecognised'>[];
}

const BECAUSE: Record<EditOutcome['outcome'], string> = {
  applied: 'its edits are in the request',
  none: 'it had nothing to change',
  late: 'no answer in time, so none of its edits',
  absent: 'no replica was alive',
  skipped: 'late before, so not waited for',
  unreachable: 'Redis did not take the question',
  refused: 'its answer broke a rule',
  error: 'it said that it failed',
};

/**
 * Explains what became of a request on its way: who was waited for, what each rewriter did and why, which words changed.
 *
 * @param prefix of the keys, for the names of streams
 *
 * @example
 * explainExchange(events, 'loom', screen);
 * // ['14:03:22 3f2a91c0 · main · alpha · r1', …, 'intro-injector applied 1 in 12 ms: its edits are in the request', …]
 */
export function explainExchange(events: ExchangeEvents, prefix: string, screen: Screen): string[] {
  const { requestId, received, forwarded, response, alerts } = events;
  const first = received ?? forwarded ?? response;
  if (!first) return [`nothing is known of ${plain(requestId)} any more`];
  const { class: kind, profile, model } = first.data;
  const head: Piece[] = [
    ['dim', `${screen.clock(Date.parse(first.time))} `],
    ['cyan', shortSession(first.subject)],
    ` · ${[kind, profile, model]
      .filter((part) => part !== null)
      .map((part) => plain(part))
      .join(' · ')} · `,
    ['bold', plain(requestId)],
  ];
  return [
    fitLine(head, screen),
    ...trimmed(events, prefix).map((sentence) => fitLine([['yellow', sentence]], screen)),
    ...(forwarded ? explainForward(events, forwarded, screen) : []),
    ...alerts.flatMap((alert) => explainAlert(alert, screen)),
    ...(response ? [fitLine([['blue', 'answer'], ` ${describeData(response.type, response.data)}`], screen)] : []),
  ];
}

function trimmed({ received, forwarded, response }: ExchangeEvents, prefix: string): string[] {
  const gone = (what: string, stream: 'requests' | 'responses') =>
    `${what} is gone: ${prefix}:${stream} keeps about ${KEEP[stream]} entries`;
  return [
    ...(received ? [] : [gone('what was asked', 'requests')]),
    ...(forwarded
      ? []
      : [response ? gone('it was not forwarded, or that', 'responses') : 'it was not forwarded, or not yet']),
    ...(response || !forwarded ? [] : ['it is not answered yet, or the answer is gone']),
  ];
}

function explainForward(
  { received, proposed }: ExchangeEvents,
  { data }: LoomEvent<'request.forwarded'>,
  screen: Screen,
): string[] {
  const { bytesIn, bytesOut, heldMs, metadataBlocks, replayed, edits, profile } = data;
  const figures = [
    bytesIn === bytesOut ? `${bytesIn} bytes, unchanged in length` : `${bytesIn} → ${bytesOut} bytes`,
    heldMs > 0 ? `held ${Math.round(heldMs)} ms` : 'not held',
    `${counted(metadataBlocks, 'metadata block')} cut`,
    `${counted(replayed, 'durable edit')} replayed`,
  ];
  const idle = profile === 'passthrough' ? 'profile passthrough: nothing is ever rewritten' : 'no rewriter wanted it';
  return [
    fitLine([figures.join(' · ')], screen),
    ...(edits.length === 0 ? [idle] : []),
    ...edits.flatMap((outcome) => explainOutcome(outcome, received, proposed, screen)),
  ];
}

function explainOutcome(
  { rewriter, outcome, operations, waitedMs, reason }: EditOutcome,
  received: LoomEvent<'request.received'> | undefined,
  proposed: LoomEvent<'edits.proposed'>[],
  screen: Screen,
): string[] {
  const isWell = outcome === 'applied' || outcome === 'none';
  const count = outcome === 'applied' ? ` ${operations}` : '';
  const awaited = received?.data.awaited.find((one) => one.rewriter === rewriter);
  const lines = [
    fitLine(
      [
        ['bold', plain(rewriter)],
        [isWell ? 'green' : 'red', ` ${outcome}${count}`],
        ` after ${Math.round(waitedMs)} ms: ${BECAUSE[outcome]}`,
      ],
      screen,
    ),
  ];
  if (reason !== undefined) lines.push(fitLine([`  reason: ${plain(reason)}`], screen));
  if (awaited) {
    const labels = awaited.labels.length > 0 ? `, for ${plain(awaited.labels.join(', '))}` : '';
    lines.push(fitLine([['dim', `  awaited up to ${awaited.holdMs} ms${labels}`]], screen));
  }
  const answer = proposed.find((one) => one.data.rewriter === rewriter);
  if (answer) return [...lines, ...answer.data.edits.flatMap((edit) => explainEdit(edit, received?.data.view, screen))];
  return outcome === 'applied' ? [...lines, fitLine([['yellow', '  its answer is gone']], screen)] : lines;
}

function explainEdit(edit: Edit, view: RequestView | undefined, screen: Screen): string[] {
  const durable = 'durable' in edit && edit.durable ? ', durable' : '';
  const head = fitLine([`  ${edit.op} ${plain(edit.path)}${durable}`], screen);
  const before = edit.op === 'add' ? '' : findText(view, edit.path);
  const after = edit.op === 'test' || edit.op === 'remove' ? '' : textOfValue(edit.value);
  if (edit.op === 'test') return [head];
  const diff = formatWordDiff(before ?? '', after, { ...screen, columns: screen.columns - 4 });
  return [head, ...diff.map((line) => `    ${line}`)];
}

function textOfValue(value: string | { text: string }): string {
  return typeof value === 'string' ? value : value.text;
}

/** The text at a pointer, as far as the event shows it. */
function findText(view: RequestView | undefined, path: string): string | undefined {
  const block = path.endsWith('/text') ? path.slice(0, -'/text'.length) : path;
  const matched = view?.matched?.find(({ pointer }) => pointer === `${block}/text`);
  if (matched) return matched.text;
  const last = view?.last;
  const at = (start: string) => (block.startsWith(start) ? Number(block.slice(start.length)) : Number.NaN);
  return view?.system?.[at('/system/')]?.text ?? last?.content[at(`${last.pointer}/content/`)]?.text;
}

function explainAlert({ type, data }: ExchangeEvents['alerts'][number], screen: Screen): string[] {
  // What was bypassed stands with its rewriter already.
  if (type === 'rewriter.bypassed') return [];
  return [fitLine([['red', type], ` ${describeData(type, data)}`], screen)];
}
