import { join } from 'node:path';
import { contextOf } from '@loom/shared/telemetry.ts';
import { lookAt } from './adapters/file-look.ts';
import type { SessionFile } from './adapters/session-files.ts';
import type { WatchGround } from './session-watch.ts';
import { type Reading, Tail } from './tail.ts';

/** One file of a session that is held: its tail, what it looked like last, and what was told of it. */
export class FollowedFile {
  readonly #session: string;
  readonly #file: string;
  readonly #ground: WatchGround;
  readonly #tail: Tail;
  /** Undefined: to be read, whatever the file looks like. */
  #look: string | undefined;
  /** What was told of a file that is refused, so that it is told once. */
  #refusal: string | undefined;

  constructor(session: string, { file, agentId }: SessionFile, ground: WatchGround) {
    this.#session = session;
    this.#file = file;
    this.#ground = ground;
    const { files, store, log, counters } = ground;
    const agent = agentId === undefined ? {} : { agentId };
    this.#tail = new Tail({ session, file, ...agent, root: files.root, store, log, counters });
  }

  /** It was not opened the last time that it was tried. */
  get isRefused(): boolean {
    return this.#refusal !== undefined;
  }

  /** See `Tail.begin`. */
  async begin(from: 'start' | 'end'): Promise<void> {
    await this.#judge(await this.#tail.begin(from));
  }

  /** See `Tail.restore`. */
  restore(): Promise<void> {
    return this.#tail.restore();
  }

  /** Publishes what is new; resolves to whether anything was. After a rejection the file counts as changed. */
  async read(signal: AbortSignal): Promise<boolean> {
    try {
      const reading = await this.#tail.read(signal);
      await this.#judge(reading);
      return reading.state === 'read' && reading.moved;
    } catch (error) {
      this.#look = undefined;
      throw error;
    }
  }

  /** Whether the file looks other than at the last time, or is refused, which may be mended without changing its look. */
  async hasChanged(): Promise<boolean> {
    const look = await lookAt(join(this.#ground.files.root, this.#file));
    const isOther = look !== this.#look;
    this.#look = look;
    return isOther;
  }

  async #judge(reading: Reading): Promise<void> {
    if (reading.state !== 'refused') {
      this.#refusal = undefined;
      return;
    }
    const { streams, log, counters } = this.#ground;
    const { state: _, ...data } = reading;
    this.#look = undefined;
    const refusal = JSON.stringify(data);
    if (refusal === this.#refusal) return;
    await streams.publish({ type: 'transcript.refused', subject: this.#session, data }, contextOf());
    this.#refusal = refusal;
    counters.refused += 1;
    log.warn('a transcript is refused', { session: this.#session, file: this.#file, ...data });
  }
}
