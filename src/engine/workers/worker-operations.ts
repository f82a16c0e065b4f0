import type { ListedWorker } from '../../store/worker-store.ts';
import type { Caller, Page } from '../operations.ts';
import type { WorkerHello, WorkerSession, WorkerStream } from './worker-messages.ts';

export type { ListedWorker };

export type WorkerFilter = {
  readonly namespace?: string;
  /** Where the caller may look; absent: everywhere. */
  readonly within?: readonly string[];
  readonly queue?: string;
};

/** What the outside may ask of workers. */
export type WorkerOperations = {
  /** Takes a worker in; what it says from then on goes into the session. */
  connect(hello: WorkerHello, stream: WorkerStream, caller: Caller): Promise<WorkerSession>;
  list(
    filter: WorkerFilter,
    page: Page,
    caller: Caller,
  ): Promise<{ workers: readonly ListedWorker[]; nextPageToken: string }>;
};
