import { type Worker, WorkerState } from '../../gen/carillon/v1/worker_service_pb.js';
import { instantToText } from './option-values.ts';

/** The titles of `workerRow`. */
export const workerTitles = [
  'WORKER',
  'NAMESPACE',
  'QUEUES',
  'RUNNING',
  'STATE',
  'INSTANCE',
  'CONNECTED',
  'LAST SEEN',
  'VERSION',
  'LABELS',
] as const;

/** A worker as a row of a table. */
export function workerRow(worker: Worker): readonly string[] {
  return [
    worker.workerId,
    worker.namespace,
    worker.queues.join(','),
    `${worker.running}/${worker.capacity}`,
    WorkerState[worker.state],
    worker.instance,
    instantToText(worker.connectTime),
    instantToText(worker.lastSeenTime),
    worker.version || '-',
    Object.entries(worker.labels)
      .map(([name, value]) => `${name}=${value}`)
      .sort()
      .join(','),
  ];
}
