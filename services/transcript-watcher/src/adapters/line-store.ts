import { hash } from 'node:crypto';
import type { DataOf } from '@loom/shared/event.ts';
import { capOf, encodeEvent, STREAM_OF } from '@loom/shared/event.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { untraced } from '@loom/shared/telemetry.ts';
import { formatTraceParent } from '@loom/shared/trace-context.ts';
import { ADOPT, BEGIN, NOTE, PUBLISH, RESTART } from './line-scripts.ts';
import { findPlace, InvalidPlaceError, PLACE_FIELDS, type Place, START } from './place.ts';

const TTL_S = 30 * 24 * 60 * 60;

/** Hashes that are asked for at once: an answer must not take long. */
const HASHES_A_READ = 10_000;

/** A transcript of a session. */
export interface FileRef {
  session: string;
  /** Path below the root. */
  file: string;
}

/** A line that is to be published. */
export interface OutgoingLine {
  /** Of its content; 8 bytes are enough to tell the lines of one file apart. */
  hash: string;
  data: DataOf<'transcript.line'>;
  /** For the channel `transcript:<session>`. */
  payload?: string | undefined;
}

/** Whether this call moved the place, and where it is now; no place at all: Redis lost it. */
export interface Moved {
  done: boolean;
  place: Place | undefined;
}

export type Publication =
  | { published: true; traceparent: string }
  /** Somebody else was first; no place at all: Redis lost it. */
  | { published: false; place: Place | undefined };

/**
 * What is known of each transcript, and the way its lines go out. A place moves by compare-and-set on its epoch and
 * offset, in the script that publishes: however many read a file, each line goes out once, in order. Every call
 * rejects when Redis is away; a call that was not answered may have been done, which the next `find` tells.
 *
 * @example
 * const place = await store.begin(ref, START);
 * await store.publish(ref, place, { offset: 120, tail: '120:…' }, lines);
 */
export class LineStore {
  readonly #streams: Streams;

  constructor(streams: Streams) {
    this.#streams = streams;
    for (const [name, lua] of Object.entries({ ADOPT, BEGIN, NOTE, RESTART, PUBLISH })) {
      streams.redis.defineCommand(commandOf(name), { lua });
    }
  }

  /** The stored place; undefined when there is none. */
  async find(ref: FileRef): Promise<Place | undefined> {
    const key = this.#keyOf(ref);
    const fields = await untraced(() => this.#streams.redis.hmget(key, ...PLACE_FIELDS));
    return findPlace(key, fields);
  }

  /** Stores a place, before which nothing is noted, unless there is one already; the one that stands. */
  async begin(ref: FileRef, place: Omit<Place, 'noted'>): Promise<Place> {
    const key = this.#keyOf(ref);
    const args = [place.epoch, place.offset, place.tail, place.known, TTL_S, idOf(ref)];
    const standing = findPlace(key, await this.#run('BEGIN', [key, `${key}:lines`, this.#twinsOf(ref)], args));
    if (!standing) throw new InvalidPlaceError(`expected a place in ${key}, got a hash without one: delete it`);
    return standing;
  }

  /**
   * Takes as known, for a file of which nothing was read yet, what is known of the same transcript in another project
   * folder: that one was renamed, or copied.
   *
   * @returns where reading stands; undefined when Redis lost it
   */
  async adopt(ref: FileRef): Promise<Place | undefined> {
    const key = this.#keyOf(ref);
    const [id, keys] = [idOf(ref), [key, `${key}:lines`, this.#twinsOf(ref)]];
    return findPlace(key, await this.#run('ADOPT', keys, [TTL_S, id, key.slice(0, -id.length)]));
  }

  /** Takes the next lines before a place as known, those up to `noted`, without publishing them; unless somebody else did. */
  note(ref: FileRef, from: Place, noted: number, hashes: readonly string[]): Promise<Moved> {
    const args = [from.epoch, from.offset, from.noted, noted, TTL_S, ...hashes];
    return this.#move('NOTE', this.#keyOf(ref), args);
  }

  /** Begins a new epoch at offset 0, unless somebody moved the place meanwhile. */
  restart(ref: FileRef, from: Place): Promise<Moved> {
    return this.#move('RESTART', this.#keyOf(ref), [from.epoch, from.offset, START.tail, TTL_S]);
  }

  /** Publishes lines and moves the place behind them: both or, when somebody moved it meanwhile, neither. */
  async publish(
    ref: FileRef,
    from: Place,
    to: Pick<Place, 'offset' | 'tail'>,
    lines: readonly OutgoingLine[],
  ): Promise<Publication> {
    const { session } = ref;
    const key = this.#keyOf(ref);
    const stream = STREAM_OF['transcript.line'];
    const keys = [key, `${key}:lines`, this.#streams.key(stream), this.#streams.key(`watched:${session}`)];
    const args = [from.epoch, from.offset, to.offset, to.tail, TTL_S, capOf(stream), `transcript:${session}`];
    const entries = lines.flatMap((line) => {
      const fields = this.#fieldsOf(ref, line.data);
      return [line.hash, line.payload ?? '', fields.length, ...fields];
    });
    const reply = await this.#run('PUBLISH', keys, [...args, fallbackOf(session), ...entries]);
    const [done, answer] = reply as [number, unknown];
    if (done === 1) return { published: true, traceparent: String(answer) };
    return { published: false, place: findPlace(key, answer) };
  }

  /** The hashes of the first `count` lines that are known, oldest first. */
  async readHashes(ref: FileRef, count: number): Promise<string[]> {
    const key = `${this.#keyOf(ref)}:lines`;
    const hashes: string[] = [];
    for (let from = 0; from < count; from += HASHES_A_READ) {
      const to = Math.min(from + HASHES_A_READ, count) - 1;
      hashes.push(...(await untraced(() => this.#streams.redis.lrange(key, from, to))));
    }
    return hashes;
  }

  async #move(name: string, key: string, args: (string | number)[]): Promise<Moved> {
    const [done, place] = (await this.#run(name, [key, `${key}:lines`], args)) as [number, unknown];
    return { done: done === 1, place: findPlace(key, place) };
  }

  #fieldsOf(ref: FileRef, data: DataOf<'transcript.line'>): string[] {
    return encodeEvent({
      type: 'transcript.line',
      // The same line is the same event, whoever publishes it.
      id: `${idOf(ref)}-${data.epoch}-${data.offset}`,
      source: this.#streams.source,
      subject: ref.session,
      time: new Date().toISOString(),
      // The script puts in the newest one.
      traceparent: fallbackOf(ref.session),
      data,
    });
  }

  #keyOf(ref: FileRef): string {
    return this.#streams.key(`transcript:${ref.session}:${idOf(ref)}`);
  }

  /** The ids of the files that have this one's name in their project folders. */
  #twinsOf({ session, file }: FileRef): string {
    const name = file.slice(file.indexOf('/') + 1);
    return this.#streams.key(`transcript:${session}:${idOf({ session, file: name })}:twins`);
  }

  #run(name: string, keys: string[], args: (string | number)[]): Promise<unknown> {
    const redis = this.#streams.redis as unknown as Record<string, (...args: (string | number)[]) => Promise<unknown>>;
    return untraced(() => redis[commandOf(name)]?.(keys.length, ...keys, ...args)) as Promise<unknown>;
  }
}

const commandOf = (script: string) => `transcript${script}`;

function idOf({ session, file }: FileRef): string {
  return hash('sha256', `${session}/${file}`).slice(0, 16);
}

/** Lines of a session that nobody has asked for stay together, whoever publishes them. */
function fallbackOf(session: string): string {
  const ids = hash('sha256', `traceparent of ${session}`);
  return formatTraceParent({ traceId: ids.slice(0, 32), spanId: ids.slice(32, 48), flags: 1 });
}
