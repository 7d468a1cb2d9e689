import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Loaded by `--import` into what is measured: tells, when asked, how long its event loop stopped at most since then. */
const delays = monitorEventLoopDelay({ resolution: 1 });
delays.enable();
process.on('message', () => {
  process.send?.(delays.max / 1e6);
  delays.reset();
});
// Who waits to be asked must not live on for it.
process.channel?.unref();
