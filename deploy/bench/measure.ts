import http from 'node:http';
import type { BenchRequest } from './bodies.ts';

/** Sends a request and gives the time to the first byte of the answer's body, milliseconds. */
export async function timeToFirstByte(
  origin: string,
  agent: http.Agent,
  { body, headers }: BenchRequest,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
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
    response.resume();
    response.once('end', () => resolve(firstByteMs));
  });
  request.end(body);
  return promise;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
