import { boundedNames } from '@loom/shared/bounded-names.ts';
import type { DataOf } from '@loom/shared/event.ts';
import { metrics } from '@opentelemetry/api';

// Instruments of the API: they count nothing where nothing is exported.
const meter = metrics.getMeter('loom.transcript-watcher');
const lines = meter.createCounter('loom.transcript.lines', { description: 'Lines published, by their type and form' });
const bytes = meter.createCounter('loom.transcript.bytes', { unit: 'By', description: 'Bytes of the lines published' });
const type = boundedNames(50);

/** Counts lines that went out. */
export function countLines(published: readonly Pick<DataOf<'transcript.line'>, 'lineType' | 'form' | 'bytes'>[]): void {
  for (const line of published) {
    lines.add(1, { type: type(line.lineType ?? 'none'), form: line.form });
    bytes.add(line.bytes);
  }
}
