import type { ConnectedWorker } from './connected-worker.ts';

/**
 * Free places at workers, up to a limit: the workers' ids, each as often as it
 * is to get an execution. Those with the most free capacity get the first ones.
 */
export function placesAt(workers: readonly ConnectedWorker[], limit: number): readonly string[] {
  if (workers.length === 1) {
    const [worker] = workers;
    return Array.from({ length: Math.min(worker!.free, limit) }, () => worker!.hello.workerId);
  }
  const free = workers.map((worker) => ({ id: worker.hello.workerId, free: worker.free }));
  const places: string[] = [];
  while (places.length < limit) {
    // The level that the freest stand above the next: they get one each, the freest first.
    free.sort((a, b) => b.free - a.free);
    const top = free[0]?.free ?? 0;
    if (top === 0) break;
    for (const each of free) {
      if (each.free < top || places.length === limit) break;
      each.free--;
      places.push(each.id);
    }
  }
  return places;
}
