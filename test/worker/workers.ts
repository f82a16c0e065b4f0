import { afterEach } from 'vitest';
import { Worker, type WorkerOptions } from '../../src/worker/index.ts';

/** Makes workers of the queue `q` and stops them behind each test. */
export function useWorkers(): (options: Partial<WorkerOptions> & Pick<WorkerOptions, 'address'>) => Worker {
  const workers: Worker[] = [];
  afterEach(async () => {
    // The second call ends the grace time.
    for (const worker of workers) void worker.stop();
    await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  });
  return (options) => {
    const worker = new Worker({ queue: 'q', handler: () => undefined, graceMs: 0, ...options });
    workers.push(worker);
    return worker;
  };
}

/** Handlers that end when the test says so. */
export class Gate {
  #open: (() => void)[] = [];
  /** How many handlers wait. */
  get waiting(): number {
    return this.#open.length;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => this.#open.push(resolve));
  }

  /** Lets the oldest ones through. */
  open(count = this.#open.length): void {
    for (const resolve of this.#open.splice(0, count)) resolve();
  }
}
