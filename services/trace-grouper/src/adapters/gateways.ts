import { GatewayRecord, gatewayKeys } from '@loom/shared/gateway-record.ts';
import type { Streams } from '@loom/shared/streams.ts';
import type { GatewayStanding } from '../core/span-fate.ts';

/** What gateways say of themselves, and who of them says nothing any more. */
export class Gateways {
  readonly #streams: Streams;

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /** How each of them stands, by its id. */
  async read(ids: Iterable<string>): Promise<Map<string, GatewayStanding>> {
    const unique = [...new Set(ids)];
    if (unique.length === 0) return new Map();
    const keys = unique.map(gatewayKeys).flatMap(({ present, left }) => [present, left]);
    const values = await this.#streams.redis.mget(keys.map((key) => this.#streams.key(key)));
    return new Map(unique.map((id, at) => [id, standingOf(values[2 * at] ?? null, values[2 * at + 1] ?? null)]));
  }
}

/** One that has left is not there, whatever has not lapsed yet. */
function standingOf(present: string | null, left: string | null): GatewayStanding {
  const said = left ?? present;
  if (said === null) return { state: 'gone' };
  return { state: left === null ? 'present' : 'left', record: parse(said) };
}

function parse(said: string): GatewayRecord {
  try {
    return GatewayRecord.parse(JSON.parse(said));
  } catch {
    // Of another version: it is there, and its spans are sent in its place.
    return {};
  }
}
