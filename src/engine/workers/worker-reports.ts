import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { ConnectedWorker } from './connected-worker.ts';
import { workerLost } from './delivery-results.ts';
import type { UnstoredEnds } from './unstored-ends.ts';
import { refKey, type WorkerReport, type WorkerResult } from './worker-messages.ts';

export type WorkerReportsOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly unstored: UnstoredEnds;
  /** Told when places of a worker have become free. */
  readonly onFree: () => void;
};

/** Takes in what workers say of their attempts. */
export class WorkerReports {
  readonly #options: WorkerReportsOptions;

  constructor(options: WorkerReportsOptions) {
    this.#options = options;
  }

  /** Resolves when the worker may be read on; undefined: at once. */
  receive(worker: ConnectedWorker, report: WorkerReport): Promise<void> | undefined {
    worker.seenMs = this.#options.clock.monotonicMs();
    switch (report.kind) {
      case 'heartbeat':
      case 'started':
        return undefined;
      case 'logs':
        return this.#log(worker, report.entries);
      case 'results':
        this.#settle(worker, report.results);
        this.#options.onFree();
        return undefined;
      case 'goodbye':
        worker.drain(workerLost(worker.hello.workerId));
        return undefined;
    }
  }

  /** One line of the log for all that come too late: a worker can send very many. */
  #settle(worker: ConnectedWorker, results: readonly WorkerResult[]): void {
    const late = results.filter((result) => {
      const stored = (): void => worker.acknowledge(result);
      return !worker.settle(result, stored) && !this.#options.unstored.whenStored(result, stored);
    });
    const [first] = late;
    if (!first) return;
    for (const result of late) worker.acknowledge(result);
    const { executionId, attempt } = first;
    this.#options.logger.info(
      { count: late.length, executionId, attempt, workerId: worker.hello.workerId },
      'late results refused: the attempts are not the worker’s any more',
    );
  }

  /**
   * Lines of one attempt stay in order; lines of attempts that are not the
   * worker's any more are dropped. While they wait to be stored nothing is read
   * from the worker, which is not silent meanwhile.
   */
  async #log(
    worker: ConnectedWorker,
    entries: Extract<WorkerReport, { kind: 'logs' }>['entries'],
  ): Promise<void> {
    const byAttempt = Map.groupBy(entries, refKey);
    worker.beingTaken++;
    await Promise.all(
      [...byAttempt.values()].map((own) =>
        worker.log(
          own[0]!,
          own.map(({ line }) => line),
        ),
      ),
    );
    worker.beingTaken--;
    worker.seenMs = this.#options.clock.monotonicMs();
  }
}
