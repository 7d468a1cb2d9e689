import type { DataOf } from '@loom/shared/event.ts';
import { contextOf } from '@loom/shared/telemetry.ts';
import { context } from '@opentelemetry/api';
import type { EarlierLines } from './adapters/earlier-lines.ts';
import { countLines } from './adapters/line-metrics.ts';
import type { ReadLine } from './adapters/line-reader.ts';
import type { OutgoingLine } from './adapters/line-store.ts';
import type { Place } from './adapters/place.ts';
import { describeLine, OVERSIZED, payloadOf } from './core/classify.ts';
import type { TailOptions } from './tail.ts';

/** Makes events of the lines of one transcript, and tells the log of those that went out. */
export class LinePublisher {
  readonly #options: TailOptions;
  readonly #earlier: EarlierLines;

  constructor(options: TailOptions, earlier: EarlierLines) {
    this.#options = options;
    this.#earlier = earlier;
  }

  /**
   * Publishes those of a few lines that were not published in an earlier epoch, and moves the place behind all of them.
   *
   * @returns how many were published; undefined when somebody else was faster, and nothing was done; and where reading
   * stands now, which Redis may have lost
   */
  async publish(
    batch: readonly ReadLine[],
    from: Place,
    to: Pick<Place, 'offset' | 'tail'>,
  ): Promise<{ published: number | undefined; place: Place | undefined }> {
    const { store, counters } = this.#options;
    const hashes = batch.map(({ hash }) => hash);
    const areNew = this.#earlier.areNew(hashes);
    const lines = batch.filter((_, at) => areNew[at]).map((line) => this.#outgoing(line, from.epoch));

    const publication = await store.publish(this.#options, from, to, lines);
    if (!publication.published) return { published: undefined, place: publication.place };
    this.#earlier.take(hashes, to.offset);
    counters.lines += lines.length;
    counters.oversized += lines.filter(({ data }) => data.form === 'oversized').length;
    counters.known += batch.length - lines.length;
    countLines(lines.map(({ data }) => data));
    context.with(contextOf(publication.traceparent), () => {
      for (const { data } of lines) this.#log(data);
    });
    return { published: lines.length, place: { ...from, ...to, noted: to.offset } };
  }

  #outgoing({ offset, end, hash, content }: ReadLine, epoch: number): OutgoingLine {
    const { session, file, agentId } = this.#options;
    const description = content ? describeLine(content) : { facts: OVERSIZED };
    const where = { file, offset, bytes: end - offset, epoch, ...(agentId === undefined ? {} : { agentId }) };
    return { hash, data: { ...where, ...description.facts }, payload: payloadOf(session, description) };
  }

  #log({ file, offset, bytes, epoch, form, lineType, role, contentTypes }: DataOf<'transcript.line'>): void {
    const where = { session: this.#options.session, file, offset, bytes, epoch };
    this.#options.log.info('transcript line', { ...where, type: lineType ?? form, role, contentTypes });
  }
}
