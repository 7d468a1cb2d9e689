// Loaded into each service by `--import`, in a soak alone: tells what a process cannot be asked from outside.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What a probe writes to `<folder>/<pid>.json`. */
export interface Probed {
  /** What is left on the heap after a collection, and what buffers hold beside it, bytes. */
  liveBytes: number;
  /** All of the process's memory then, and how much of it is V8's heap, used or not, bytes. */
  rssBytes: number;
  heapBytes: number;
  /** What keeps the event loop alive: timers, sockets, watchers. */
  resources: number;
  /** The 99th percentile since the last time, milliseconds. */
  loopMs: number;
}

const { LOOM_SOAK_PROBE: folder, LOOM_SOAK_PROBE_MS: everyMs } = process.env;
if (folder !== undefined) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const timer = setInterval(() => {
    const loopMs = delay.percentile(99) / 1e6;
    collect();
    const { heapUsed, external, rss: rssBytes, heapTotal: heapBytes } = process.memoryUsage();
    const resources = process.getActiveResourcesInfo().length;
    const probed: Probed = { liveBytes: heapUsed + external, rssBytes, heapBytes, resources, loopMs };
    writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify(probed));
    // The collection's own pause is not the service's.
    setImmediate(() => delay.reset());
  }, Number(everyMs));
  timer.unref();
}
