import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const FILE = new URL('results.json', import.meta.url).pathname;

/** What the parts of a bench measured last, by part: a part that is run alone replaces its own figures. */
export interface Results {
  'first-byte'?: FirstByteCell[];
  throughput?: ThroughputCell[];
  streams?: StreamsCell[];
  beside?: BesideCell[];
  memory?: MemoryFigures;
  'redis-states'?: RedisStateCell[];
}

type ByTarget = Record<string, number>;

/** Milliseconds; `added` is the median over the rounds of the target's median less the direct one's. */
export interface FirstByteCell {
  kilobytes: number;
  newest: string;
  answer: string;
  direct: number;
  added: ByTarget;
  addedToEnd: ByTarget;
}

export interface ThroughputCell {
  kilobytes: number;
  answer: string;
  perSecond: ByTarget;
  /** Of one request, all that follows from it included. */
  cpuMs: ByTarget;
}

export interface StreamsCell {
  streams: number;
  gapMs: number;
  p50Ms: ByTarget;
  p99Ms: ByTarget;
  cpuUsPerEvent: ByTarget;
  /** From the upstream's last write to the answer's end at the client. */
  endMs: ByTarget;
}

export interface BesideCell {
  kilobytes: number;
  p50Ms: ByTarget;
  p99Ms: ByTarget;
  longestStopMs: ByTarget;
}

/** MB. */
export interface MemoryFigures {
  idle: ByTarget;
  peak: ByTarget;
}

/** A ThroughputCell's and a FirstByteCell's figures, by the state of Redis. */
export interface RedisStateCell {
  kilobytes: number;
  addedMs: ByTarget;
  perSecond: ByTarget;
  cpuMs: ByTarget;
}

export function readResults(): Results {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : {};
}

export function writeResults(results: Results): void {
  writeFileSync(FILE, `${JSON.stringify(results, undefined, 2)}\n`);
}
