import { styleText } from 'node:util';
import type { Screen } from '../core/screen.ts';

/** What stands for the width of a file, a pipe, or a terminal that does not say. */
const COLUMNS = 80;

/**
 * The screen behind a stream, as wide as it is at each moment; a pipe is 80 cells wide unless COLUMNS says otherwise.
 * Colours where the stream is a terminal that shows them (`NO_COLOR` is heeded).
 */
export function screenOf(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): Screen {
  const fallback = Number(environment['COLUMNS']) || COLUMNS;
  return {
    get columns() {
      return stream.columns || fallback;
    },
    paint: (style, text) => styleText(style, text, { stream }),
    clock: (time) => new Date(time).toTimeString().slice(0, 8),
  };
}
