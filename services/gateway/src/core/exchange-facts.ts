import type { DataOf } from '@loom/shared/event.ts';
import { z } from 'zod';
import { Answer } from './answer.ts';
import type { Headers } from './identity.ts';
import { describeAgent, type ReadRequest, shortHeader } from './messages-request.ts';
import { rateLimitsOf } from './rate-limits.ts';
import { toolResultsOf } from './tool-results.ts';

const RequestId = z.string().regex(/^[\x21-\x7e]{1,200}$/);
const MAX_DURATIONS_LENGTH = 2_000;

type Forwarded = DataOf<'request.forwarded'>;
type Completed = DataOf<'response.completed'>;

/** Makes a part of an event that is worth less than the event: undefined, and counted by name, where it fails. */
export type Attempt = <T>(part: string, make: () => T) => T | undefined;

/** What `request.forwarded` says of the request itself. */
export function requestFacts(
  { tree, metadataBlocks }: ReadRequest,
  headers: Headers,
  attempt: Attempt,
): Pick<Forwarded, 'metadataBlocks' | 'agentId' | 'agentType' | 'parentAgentId' | 'toolResults' | 'toolDurations'> {
  const toolDurations = shortHeader(headers, 'x-claude-code-prev-tool-durations', MAX_DURATIONS_LENGTH);
  const toolResults = attempt('toolResults', () => tree && toolResultsOf(tree));
  return {
    metadataBlocks,
    ...describeAgent(headers),
    ...(toolResults && toolResults.length > 0 && { toolResults }),
    ...(toolDurations && { toolDurations }),
  };
}

/** What the events of an answer say of it; `headers` are the answer's. */
export function answerFacts(
  answer: Answer | undefined,
  headers: Headers,
  attempt: Attempt,
): Pick<Completed, keyof Answer['parts'] | 'upstreamRequestId' | 'rateLimits'> {
  const rateLimits = attempt('rateLimits', () => rateLimitsOf(headers));
  return {
    ...(answer ?? new Answer()).parts,
    upstreamRequestId: RequestId.safeParse(headers['request-id']).data ?? null,
    ...(rateLimits && { rateLimits }),
  };
}
