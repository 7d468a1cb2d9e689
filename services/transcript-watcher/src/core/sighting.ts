import type { LoomEvent } from '@loom/shared/event.ts';
import { formatTraceParent } from '@loom/shared/trace-context.ts';
import { isSessionId, projectOf } from './transcript-path.ts';

/** What one request tells of its session. */
export interface Sighting {
  session: string;
  /** When the request was told of, milliseconds since 1970, and its event's id: the newer one has the larger pair. */
  atMs: number;
  eventId: string;
  /** The request span: lines that come from now on belong to it. */
  traceparent: string;
  /** The project folder that the hint names. */
  project?: string;
  /** A hint that is no transcript of this session. */
  refusedHint?: string;
}

/**
 * Reads a request event; undefined when there is no session in it, or none that could stand in a path.
 *
 * @example
 * sightingOf(event)?.traceparent; // '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
 */
export function sightingOf(event: LoomEvent<'request.received'>): Sighting | undefined {
  const { subject: session, id: eventId, time, data } = event;
  if (!isSessionId(session)) return undefined;
  const { trace, hook } = data;
  const traceparent = trace ? formatTraceParent({ ...trace, flags: 1 }) : event.traceparent;
  const sighting = { session, atMs: Date.parse(time) || 0, eventId, traceparent };

  const hint = hook?.transcriptPath;
  if (!hint) return sighting;
  const project = projectOf(hint, session);
  return project === undefined ? { ...sighting, refusedHint: hint } : { ...sighting, project };
}
