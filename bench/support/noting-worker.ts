/**
 * A worker process that writes a log line for every attempt and notes how late
 * the attempt came: from the fire time to the call of the handler, which follows
 * the arrival of the assignment at once while there are free places.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from '../../src/worker/index.ts';
import { nowMs } from './statistics.ts';

/** A running one. */
export class NotingWorker {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts the process; resolves when Carillon has welcomed it. */
  static async start(address: string, queue: string, capacity: number): Promise<NotingWorker> {
    const child = fork(import.meta.filename, ['work', address, queue, String(capacity)]);
    const exited = once(child, 'exit');
    const [message] = await Promise.race([once(child, 'message'), exited]);
    if (message !== 'working') throw new Error('the worker did not start, see above');
    return new NotingWorker(child);
  }

  /** How late each attempt came since the last call, in milliseconds. */
  async takeLateness(): Promise<readonly number[]> {
    this.#child.send('take');
    const [lateness] = (await once(this.#child, 'message')) as [number[]];
    return lateness;
  }

  /** Lets it leave; resolves when it is gone. */
  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }
}

async function work(address: string, queue: string, capacity: number): Promise<void> {
  let lateness: number[] = [];
  const worker = new Worker({
    address,
    queue,
    capacity,
    handler: ({ fireTime, log }) => {
      lateness.push(nowMs() - fireTime.getTime());
      log.info('done');
    },
    graceMs: 1_000,
  });
  process.on('message', () => {
    process.send?.(lateness);
    lateness = [];
  });
  process.once('SIGTERM', () => void worker.stop().then(() => process.exit(0)));
  await worker.start();
  process.send?.('working');
}

if (process.argv[2] === 'work' && process.argv[1] === import.meta.filename) {
  const [, , , address = '', queue = '', capacity = '1'] = process.argv;
  await work(address, queue, Number(capacity));
}
