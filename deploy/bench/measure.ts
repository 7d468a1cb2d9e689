import http from 'node:http';
import type { BenchRequest } from './bodies.ts';

/** What was seen of one answer, milliseconds from the request's first byte. */
export interface Timing {
  firstByteMs: number;
  endMs: number;
}

/**
 * Sends a request and takes its answer to the end.
 *
 * @param onChunk is given each piece of the answer's body as it comes
 */
export async function send(
  origin: string,
  agent: http.Agent,
  { body, headers }: BenchRequest,
  onChunk?: (chunk: Buffer) => void,
): Promise<Timing> {
  const { promise, resolve, reject } = Promise.withResolvers<Timing>();
  const startedMs = performance.now();
  let firstByteMs = 0;
  const request = http.request(`${origin}/v1/messages`, {
    method: 'POST',
    agent,
    headers: { ...headers, 'content-length': body.length },
  });
  request.once('error', reject);
  request.once('response', (response) => {
    if (response.statusCode !== 200) reject(new Error(`expected 200 from ${origin}, got ${response.statusCode}`));
    response.once('data', () => {
      firstByteMs = performance.now() - startedMs;
    });
    response.on('data', (chunk: Buffer) => onChunk?.(chunk));
    response.once('error', reject);
    response.once('end', () => resolve({ firstByteMs, endMs: performance.now() - startedMs }));
  });
  request.end(body);
  return promise;
}

/** Sends `count` requests, so many at a time. */
export async function sendMany(
  count: number,
  atATime: number,
  one: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

export function median(values: number[]): number {
  return quantile(values, 0.5);
}

/** Between the two values that are nearest. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const [below, above] = [sorted[Math.floor(at)] as number, sorted[Math.ceil(at)] as number];
  return below + (above - below) * (at % 1);
}
