import type { LoomEvent } from '@loom/shared/event.ts';
import { timeOf } from './record.ts';

/**
 * When the user stopped the turn, where a line of the transcript says so; Unix ms. The client writes it as a user
 * message of its own, after a tool that was stopped as well (`… for tool use`).
 */
export function interruptionOf({ data, time }: LoomEvent<'transcript.line'>): number | undefined {
  const isOwn = data.lineType === 'user' && data.agentId === undefined;
  if (!isOwn || !/^\s*\[Request interrupted by user[^\]]*\]\s*$/.test(data.text)) return undefined;
  // A transcript may reach the watcher late. Its own clock may be wrong, but no line is written after it was read.
  return Math.min(Date.parse(time), writtenAt(data.line) ?? Number.POSITIVE_INFINITY);
}

function writtenAt(line: string | undefined): number | undefined {
  return timeOf(/"timestamp":"([^"]{1,40})"/.exec(line ?? '')?.[1]);
}
