import type { Streams } from '@loom/shared/streams.ts';
import { LAST_TURN_KEEP_S, MAX_LAST_TURNS, type TurnSummary } from '@loom/shared/turn-summary.ts';
import type { ChainableCommander } from 'ioredis';
import { type CapturedRecord, nameOf, type TurnRecord } from '../core/record.ts';
import { ADD, CAPTURE, CLOSE, HOLD } from './turn-scripts.ts';

const NO_FIELDS: Record<string, string> = {};
const KEEP_S = 24 * 60 * 60;
const QUOTA_KEEP_S = 14 * 24 * 60 * 60;
/** A turn of a thousand calls must not fill a small Redis; what is over is shown without its content. */
const MAX_CAPTURED_CHARACTERS = 8_000_000;
/** Of the turns that wait for the collector, all together. */
const MAX_WAITING = 500;
const MAX_WAITING_CHARACTERS = 64_000_000;

/** What became of a record. `late`: the turn has ended without it; `known`: a repetition. */
export type Taken = { state: 'added' | 'known'; isOpener: boolean } | { state: 'late' };

/** A turn as it lies in Redis. */
export interface Kept {
  records: TurnRecord[];
  /** Since the last record that counts was taken, milliseconds of Redis' clock. */
  quietMs: number;
  /** When it was read, Unix ms of Redis' clock. */
  readAt: number;
  /** `turn.started` was published for it. */
  isOpened: boolean;
  /** How it ended, once that is decided. */
  ended?: string;
  /** `turn.ended` was published for it. */
  isPublished: boolean;
  /** How many contents it has; they are among the records where they were asked for. */
  captures: number;
  /** Names this state of it: `close` decides about no other. */
  version: number;
  characters: number;
}

/**
 * The turns in Redis, shared by all replicas, a record of each event; each lapses after a day. A turn that has ended
 * takes no more records, and stays until the collector has its spans.
 */
export class TurnStore {
  readonly #streams: Streams;

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /**
   * Adds a record. The first one that `opens` opens the turn, and stays its opener.
   *
   * @param counts whether it shows that the turn goes on
   */
  async add(
    key: string,
    record: TurnRecord,
    {
      opens = false,
      counts = true,
      startedAt = record.time,
    }: { opens?: boolean; counts?: boolean; startedAt?: number } = {},
  ): Promise<Taken> {
    const keys = [this.#key(key), this.#doneKey(key), this.#sessionKey(record.session)];
    const request = record.kind === 'interrupted' ? '' : record.data.requestId;
    const flags = [opens ? 1 : 0, counts ? 1 : 0];
    const args = [nameOf(record), JSON.stringify(record), request, ...flags, key, startedAt, KEEP_S];
    const [state, opener] = (await this.#redis.eval(ADD, keys.length, ...keys, ...args)) as [string, string];
    if (state === 'late') return { state };
    return { state: state as 'added' | 'known', isOpener: opener === nameOf(record) };
  }

  /** Adds the content of an exchange. `full`: there is no room for it. */
  async addCapture(key: string, record: CapturedRecord): Promise<Taken['state'] | 'full'> {
    const limits = [MAX_CAPTURED_CHARACTERS, KEEP_S];
    const args = [nameOf(record), JSON.stringify(record), record.data.requestId, ...limits];
    const taken = await this.#redis.eval(CAPTURE, 2, this.#captureKey(key), this.#doneKey(key), ...args);
    return taken as Taken['state'] | 'full';
  }

  /** The turn of a session that was the newest at that time, Unix ms. */
  async findTurnAt(session: string, at: number): Promise<string | undefined> {
    const [key] = await this.#redis.zrange(
      this.#sessionKey(session),
      String(at),
      '-inf',
      'BYSCORE',
      'REV',
      'LIMIT',
      0,
      1,
    );
    return key;
  }

  /** The turns of the session that began before this one and have not ended. */
  async openBefore(session: string, key: string): Promise<string[]> {
    const turns = await this.#redis.zrange(this.#sessionKey(session), '0', '-1');
    const before = turns.slice(0, Math.max(0, turns.indexOf(key)));
    const done = await Promise.all(before.map((turn) => this.#redis.exists(this.#doneKey(turn))));
    return before.filter((_, at) => done[at] === 0);
  }

  /**
   * When the session's newest turn was first told of, where that is not this one; 0 where that one has ended. Unix ms of
   * Redis' clock.
   */
  async findNextOpening(session: string, key: string): Promise<number | undefined> {
    const [newest] = await this.#redis.zrange(this.#sessionKey(session), '-1', '-1');
    if (newest === undefined || newest === key) return undefined;
    if ((await this.#redis.zscore(this.#sessionKey(session), key)) === null) return undefined;
    return Number(await this.#redis.hget(this.#key(newest), 'openedAt'));
  }

  /** @param withContent reads what was said, too, which may be much */
  async read(key: string, withContent: boolean): Promise<Kept | undefined> {
    const [fields, captures, captureFields, [seconds, microseconds]] = await Promise.all([
      this.#redis.hgetall(this.#key(key)),
      withContent ? this.#redis.hgetall(this.#captureKey(key)) : NO_FIELDS,
      this.#redis.hlen(this.#captureKey(key)),
      this.#redis.time(),
    ]);
    const { seen, opened, openedAt: _, ended, published, ...records } = fields;
    const { size: __, ...contents } = captures;
    const version = Object.keys(fields).length;
    if (version === 0) return undefined;
    const values = [...Object.values(records), ...Object.values(contents)];
    const readAt = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
    return {
      records: values.map((value) => JSON.parse(value) as TurnRecord),
      quietMs: readAt - Number(seen),
      readAt,
      isOpened: opened !== undefined,
      ...(ended !== undefined && { ended }),
      isPublished: published !== undefined,
      // Besides them there is their size.
      captures: Math.max(0, captureFields - 1),
      version,
      characters: values.reduce((sum, { length }) => sum + length, 0),
    };
  }

  /** Names the state that a turn is in now; see `Kept`. */
  versionOf(key: string): Promise<number> {
    return this.#redis.hlen(this.#key(key));
  }

  /**
   * Decides that a turn has ended: from now on it takes no records. False when it has changed since it was read.
   *
   * @param requestIds the exchanges that are in it; what comes of these again is a repetition, of others late
   */
  async close(key: string, version: number, reason: string, requestIds: readonly string[]): Promise<boolean> {
    const keys = [this.#key(key), this.#doneKey(key)];
    return (await this.#redis.eval(CLOSE, 2, ...keys, version, reason, KEEP_S, ...requestIds)) === 1;
  }

  /** Adds to a transaction that the turn's end is published, and what `loom trace` shows of it. */
  notePublished(multi: ChainableCommander, key: string, summary: TurnSummary): void {
    const { session, turn } = summary;
    const lastTurns = this.#streams.key('last-turns');
    multi.hset(this.#key(key), 'published', 1);
    multi.set(this.#streams.key(`last-turn:${session}`), JSON.stringify(summary), 'EX', LAST_TURN_KEEP_S);
    multi.zadd(lastTurns, Date.parse(turn.endedAt), session);
    multi.zremrangebyrank(lastTurns, 0, -MAX_LAST_TURNS - 1);
  }

  /**
   * Lets an ended turn wait for the collector. Where too many wait, the oldest are given up.
   *
   * @returns those that were
   */
  async hold(key: string, characters: number, at: number): Promise<string[]> {
    const limits = [MAX_WAITING, MAX_WAITING_CHARACTERS];
    const dropped = (await this.#redis.eval(HOLD, 2, ...this.#waitingKeys, key, at, characters, ...limits)) as string[];
    await Promise.all(dropped.map((turn) => this.forget(turn)));
    return dropped;
  }

  /** Forgets a turn but for the mark that it has ended. */
  async forget(key: string): Promise<void> {
    const [order, sizes] = this.#waitingKeys;
    await this.#redis.multi().del(this.#key(key), this.#captureKey(key)).zrem(order, key).hdel(sizes, key).exec();
  }

  /** Writes a record of a neighbour's, under its own key. */
  async writeQuota({ key, value }: { key: string; value: string }): Promise<void> {
    await this.#redis.setex(key, QUOTA_KEEP_S, value);
  }

  get #redis() {
    return this.#streams.redis;
  }

  #key(key: string): string {
    return this.#streams.key(`turn:${key}`);
  }

  #captureKey(key: string): string {
    return this.#streams.key(`turn:${key}:captures`);
  }

  #doneKey(key: string): string {
    return this.#streams.key(`turn:${key}:done`);
  }

  #sessionKey(session: string): string {
    return this.#streams.key(`session-turns:${session}`);
  }

  get #waitingKeys(): [order: string, sizes: string] {
    return [this.#streams.key('turns-waiting'), this.#streams.key('turns-waiting:size')];
  }
}
