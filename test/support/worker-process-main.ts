/**
 * The program of a worker process (worker-process.ts): the worker library with
 * a handler that tells the test what it does and holds every attempt until the
 * test lets go of it, or a set time, whichever it was started with; one that is aborted ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type AttemptContext, Worker } from '../../src/worker/index.ts';
import type { WorkerCommand, WorkerProcessOptions, WorkerReport } from './worker-process.ts';

const options = JSON.parse(process.argv[2]!) as WorkerProcessOptions;
const gate = Promise.withResolvers<void>();

const tell = (report: WorkerReport): void => void process.send!(report);

async function handler({ executionId, attempt, idempotencyKey, signal }: AttemptContext) {
  tell({ kind: 'called', call: { executionId, attempt, key: idempotencyKey } });
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      tell({ kind: 'aborted', executionId, attempt });
      reject(signal.reason);
    });
  });
  try {
    const work = options.takesMs === undefined ? gate.promise : sleep(options.takesMs);
    await Promise.race([work, aborted]);
    return { by: options.workerId, attempt };
  } finally {
    tell({ kind: 'ended', executionId, attempt });
  }
}

const worker = new Worker({
  address: options.address,
  queue: options.queue,
  workerId: options.workerId,
  capacity: options.capacity,
  handler,
  graceMs: 0,
});

process.on('message', (command: WorkerCommand) => {
  if (command === 'release') gate.resolve();
  // Handlers that are held do not keep the process.
  else void worker.stop().then(() => process.exit());
});
// Whoever started it is gone.
process.on('disconnect', () => process.exit());

await worker.start();
tell({ kind: 'welcomed' });
