import { afterAll } from 'vitest';
import type { AttemptContext } from '../../src/worker/index.ts';
import { Worker, type WorkerOptions } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';

/** What a handler was called with. */
export type HandlerRun = Pick<AttemptContext, 'executionId' | 'parameters' | 'cause'> & {
  readonly worker: string;
  readonly job: string;
};

/** Workers of the queue `q` that write down what they run; stopped behind the tests of a file. */
export function useQueueWorkers(): {
  start(options: Partial<WorkerOptions> & Pick<WorkerOptions, 'address' | 'workerId'>): Promise<void>;
  /** Waits for the run of an execution. */
  awaitRun(executionId: number): Promise<HandlerRun>;
} {
  const workers: Worker[] = [];
  const runs: HandlerRun[] = [];
  afterAll(() => Promise.all(workers.map((worker) => worker.stop())));
  return {
    async start(options) {
      const worker = new Worker({
        queue: 'q',
        graceMs: 0,
        handler: ({ executionId, parameters, cause, jobKey }) => {
          runs.push({ executionId, parameters, cause, job: jobKey.name, worker: options.workerId ?? '' });
        },
        ...options,
      });
      workers.push(worker);
      await worker.start();
    },
    awaitRun: (executionId) =>
      awaitThat(`a worker runs ${executionId}`, () => runs.find((run) => run.executionId === executionId)),
  };
}
