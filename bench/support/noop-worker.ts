/** A worker process that does nothing: `node noop-worker.ts <address> <queue> <capacity>`; it stops at SIGTERM. */
import { Worker } from '../../src/worker/index.ts';

const [address = '', queue = '', capacity = '1'] = process.argv.slice(2);
const worker = new Worker({
  address,
  queue,
  capacity: Number(capacity),
  handler: () => undefined,
  graceMs: 1_000,
});
process.once('SIGTERM', () => void worker.stop());
await worker.start();
process.stdout.write('working\n');
