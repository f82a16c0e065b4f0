/** Loaded into a Carillon process by `--import`: tells over its channel how late its event loop has been since the last time. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
process.on('message', () => {
  process.send?.({ max: delay.max / 1e6, p99: delay.percentile(99) / 1e6 });
  delay.reset();
});
// What listens must not keep the process alive.
process.channel?.unref();
