import type { WorkerTarget } from '../../domain/job.ts';
import type { WorkerHub } from '../workers/worker-hub.ts';
import type { TargetClient } from './target.ts';

/** Delivers to the worker that the execution was claimed for. */
export const workerTargetClient = (hub: Pick<WorkerHub, 'deliver'>): TargetClient<WorkerTarget> => ({
  deliver: ({ queue }, delivery, context) =>
    hub.deliver({ ...delivery, queue, timeoutMs: context.timeoutMs }, context),
  close: () => Promise.resolve(),
});
