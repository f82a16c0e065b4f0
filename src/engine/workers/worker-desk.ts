import { DomainError } from '../../domain/errors.ts';
import type { Store } from '../../store/store.ts';
import type { ListedWorker, Page, WorkerFilter, WorkerOperations } from '../operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from '../page-token.ts';
import type { WorkerHub } from './worker-hub.ts';
import type { WorkerHello, WorkerSession, WorkerStream } from './worker-messages.ts';

export type WorkerDeskOptions = {
  readonly store: Pick<Store, 'db' | 'workers'>;
  /** Absent on an instance that runs no executions. */
  readonly hub: Pick<WorkerHub, 'connect'> | undefined;
};

type Position = { readonly namespace: string; readonly workerId: string };

const isPosition = (value: unknown): value is Position =>
  typeof value === 'object' && value !== null && 'namespace' in value && 'workerId' in value;

/** What the outside may ask of workers. */
export class WorkerDesk implements WorkerOperations {
  readonly #options: WorkerDeskOptions;

  constructor(options: WorkerDeskOptions) {
    this.#options = options;
  }

  async connect(hello: WorkerHello, stream: WorkerStream): Promise<WorkerSession> {
    const { hub } = this.#options;
    if (!hub) {
      throw new DomainError('UNAVAILABLE', 'this instance has no dispatcher role; connect to another one', {
        retryAfterMs: 1_000,
      });
    }
    return hub.connect(hello, stream);
  }

  async list(
    filter: WorkerFilter,
    page: Page,
  ): Promise<{ workers: readonly ListedWorker[]; nextPageToken: string }> {
    const { store } = this.#options;
    const list = ['workers', filter];
    const after = positionFromPageToken(list, page.token, isPosition);
    const size = pageSize(page.size);
    const workers = await store.workers.list(store.db, filter, after, size + 1);
    const shown = workers.slice(0, size);
    const last = shown.at(-1);
    const nextPageToken =
      workers.length > size && last
        ? pageTokenFrom(list, { namespace: last.namespace, workerId: last.workerId })
        : '';
    return { workers: shown, nextPageToken };
  }
}
