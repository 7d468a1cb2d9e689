import { setTimeout as pause } from 'node:timers/promises';
import { buildRequest, type Newest } from './bodies.ts';
import { median, send } from './measure.ts';
import type { FirstByteCell } from './results.ts';
import type { LoomTarget, Target } from './targets.ts';

const WARM_UP_ROUNDS = 5;
/** No client sends its next request in the moment in which it has the last answer. */
const THINKS_MS = 8;

export interface FirstByteOptions {
  /** The first one is the direct one. */
  targets: Target[];
  kilobytes: number;
  newest: Newest;
  answer: string;
  rounds: number;
  requestsPerRound: number;
  /** Default: 5. */
  warmUpRounds?: number;
}

/**
 * What each target adds to the first byte of an answer, and to its end, one request at a time, 8 ms after the last one. The
 * targets take turns within each round, in the one order and then in the other.
 */
export async function measureFirstByte(options: FirstByteOptions): Promise<FirstByteCell> {
  const { targets, kilobytes, newest, answer, rounds, requestsPerRound, warmUpRounds = WARM_UP_ROUNDS } = options;
  const firstByte = new Map(targets.map(({ name }) => [name, [] as number[]]));
  const end = new Map(targets.map(({ name }) => [name, [] as number[]]));
  let repetition = 0;
  for (let round = -warmUpRounds; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed()) {
      const firstBytes: number[] = [];
      const ends: number[] = [];
      for (let at = 0; at < requestsPerRound; at++) {
        const session = `bench-${kilobytes}-${newest}-${answer}-${target.name}`;
        const kind = { bytes: kilobytes * 1_024, session, newest, answer, repetition: repetition++ };
        if (newest === 'typed') await remember(target, session, repetition);
        await pause(THINKS_MS);
        const { firstByteMs, endMs } = await send(target.url, target.agent, buildRequest(kind));
        firstBytes.push(firstByteMs);
        ends.push(endMs);
      }
      // Until everything is compiled.
      if (round < 0) continue;
      firstByte.get(target.name)?.push(median(firstBytes));
      end.get(target.name)?.push(median(ends));
    }
  const [direct] = targets as [Target];
  const added = (of: Map<string, number[]>) =>
    Object.fromEntries(
      targets.slice(1).map(({ name }) => {
        const base = of.get(direct.name) as number[];
        return [name, median((of.get(name) as number[]).map((value, round) => value - (base[round] as number)))];
      }),
    );
  const directMs = median(firstByte.get(direct.name) as number[]);
  return { kilobytes, newest, answer, direct: directMs, added: added(firstByte), addedToEnd: added(end) };
}

/** Each typed prompt is new and meets a new memorable, so both the question and the edit are in the figure. */
async function remember(target: Target, session: string, repetition: number): Promise<void> {
  const { client } = target as Partial<LoomTarget>;
  const memorable = `The loom in the window is ${repetition} years older than the house.`;
  await client?.multi().del(`intro:memorables:${session}`).rpush(`intro:memorables:${session}`, memorable).exec();
}
