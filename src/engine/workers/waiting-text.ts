import type { Placement } from '../../domain/job.ts';
import type { WorkerRow } from '../../store/worker-store.ts';
import { missingOf } from './free-places.ts';

/** How many workers a text names. */
const maxNamed = 10;

/**
 * Why an execution still waits for a worker: each candidate of its namespace,
 * and what keeps it from taking it.
 */
export function waitingText(
  { queue, placement }: { readonly queue: string; readonly placement?: Placement },
  workers: readonly WorkerRow[],
): string {
  const wanted = `a worker of queue ${JSON.stringify(queue)}${placementText(placement)}`;
  if (workers.length === 0) return `${wanted}; no worker is connected`;
  const named = workers
    .slice(0, maxNamed)
    .map((worker) => `${worker.workerId}: ${refusalOf(worker, queue, placement)}`);
  const more = workers.length > maxNamed ? ['and others'] : [];
  return `${wanted}; ${[...named, ...more].join('; ')}`;
}

function placementText(placement: Placement | undefined): string {
  if (!placement) return '';
  if ('workerId' in placement) return `, ${JSON.stringify(placement.workerId)} only`;
  const labels = Object.entries(placement.labels).map(([name, value]) => `${name}=${value}`);
  return ` with ${labels.join(', ')}`;
}

function refusalOf(worker: WorkerRow, queue: string, placement: Placement | undefined): string {
  if (!worker.queues.includes(queue)) return 'does not serve the queue';
  const missing = placement && missingOf(worker, placement);
  if (missing !== undefined) return missing;
  if (worker.state === 'DISCONNECTED') return 'has lost its stream';
  if (worker.state === 'DRAINING') return 'takes nothing more';
  if (worker.running >= worker.capacity) return `runs ${worker.running}, which is all it can`;
  return 'is about to be asked';
}
