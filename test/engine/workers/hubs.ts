/** Hubs for tests, with the streams of their workers. */
import { expect } from 'vitest';
import type { AbortCause, DeliveryContext, DeliveryResult } from '../../../src/engine/targets/target.ts';
import { WorkerHub } from '../../../src/engine/workers/worker-hub.ts';
import type {
  Assignment,
  AttemptRef,
  WorkerEvent,
  WorkerHello,
  WorkerSession,
  WorkerStream,
} from '../../../src/engine/workers/worker-messages.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { Store } from '../../../src/store/store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';

const queues = new Map([
  ['mail', 1],
  ['images', 2],
]);

/** A hub; `adoptable` are the attempts that the database lets it take over, and some of its own may have gone elsewhere. */
export function hubOf(adoptable: readonly number[] = [], adoptedElsewhere: readonly number[] = []) {
  const clock = new ManualClock();
  const removed: string[] = [];
  const store = {
    queues: {
      ensure: (_: unknown, __: string, names: string[]) => Promise.resolve(names.map((n) => queues.get(n)!)),
    },
    attempts: {
      adopt: (_: unknown, __: number, ___: string, ____: string, refs: AttemptRef[]) =>
        Promise.resolve(refs.map((ref) => ref.executionId).filter((id) => adoptable.includes(id))),
      listOwn: (_: unknown, __: number, refs: AttemptRef[]) =>
        Promise.resolve(refs.map((ref) => ref.executionId).filter((id) => !adoptedElsewhere.includes(id))),
    },
    workers: {
      upsert: () => Promise.resolve(),
      touch: () => Promise.resolve(),
      remove: (_: unknown, __: number, ___: string, id: string) => Promise.resolve(void removed.push(id)),
    },
  } as unknown as Store;
  const told = { free: 0, adopted: 0 };
  const hub = new WorkerHub({
    store,
    clock,
    logger: silentLogger,
    instanceId: () => 9,
    instance: 'one',
    heartbeatMs: 1_000,
    reconnectGraceMs: 5_000,
    cancelGraceMs: 3_000,
    onFree: () => told.free++,
    onAdopted: () => told.adopted++,
  });
  return { hub, clock, told, removed, store };
}

/** How a worker introduces itself. */
export const hello = (workerId: string, more: Partial<WorkerHello> = {}): WorkerHello => ({
  namespace: 'default',
  workerId,
  queues: ['mail'],
  labels: {},
  capacity: 3,
  version: '1',
  running: [],
  ...more,
});

/** A stream that keeps what it was told. */
export class Stream implements WorkerStream {
  readonly events: WorkerEvent[] = [];
  failure: unknown;
  send(event: WorkerEvent): void {
    this.events.push(event);
  }
  fail(error: unknown): void {
    this.failure = error;
  }
  assigned(): number[] {
    return this.events.flatMap((event) =>
      event.kind === 'assignments' ? event.assignments.map(({ executionId }) => executionId) : [],
    );
  }
  acknowledged(): number[] {
    return this.events.flatMap((event) =>
      event.kind === 'ack' ? event.attempts.map((a) => a.executionId) : [],
    );
  }
}

const assignment = (executionId: number, workerId: string, attempt = 1): Assignment =>
  ({
    executionId,
    attempt,
    workerId,
    queue: 'mail',
    parameters: {},
    jobKey: { namespace: 'default', group: 'g', name: 'j' },
  }) as unknown as Assignment;

type DeliverOptions = {
  /** Its end is stored when the test says so. */
  readonly isSlow?: boolean;
  /** It was claimed for a place; false: the dispatcher found it in the database. */
  readonly isReserved?: boolean;
  /** It was aborted before. */
  readonly cause?: AbortCause;
  /** When its lines are stored. Default: at once. */
  readonly stored?: Promise<void>;
};

/** Delivers an attempt, as the dispatcher does: its place is taken up first. */
export function deliver(
  hub: WorkerHub,
  executionId: number,
  workerId: string,
  attempt = 1,
  { isSlow = false, isReserved = true, cause, stored = Promise.resolve() }: DeliverOptions = {},
) {
  const controller = new AbortController();
  if (cause) controller.abort(cause);
  const lines: string[] = [];
  const context = {
    signal: controller.signal,
    maxLogBytes: 1_000_000,
    log: (added: readonly { message: string }[]) => {
      lines.push(...added.map(({ message }) => message));
      return stored;
    },
  } as unknown as DeliveryContext;
  if (isReserved) hub.reserveClaimed(1, [{ executionId, attempt, workerId }]);
  let result: DeliveryResult | undefined;
  const ended = hub.deliver(assignment(executionId, workerId, attempt), context).then((value) => {
    result = value;
    hub.release('default', workerId, { executionId, attempt });
    if (!isSlow) value.stored?.();
  });
  return {
    abort: (cause: AbortCause) => controller.abort(cause),
    lines,
    ended,
    result: () => result,
    /** Tells that the end is stored; for a delivery whose end is slow. */
    store: () => result?.stored?.(),
  };
}

/** A result. */
export const succeeded = (executionId: number, attempt = 1) =>
  ({ executionId, attempt, state: 'SUCCEEDED', message: '', retryable: true }) as const;

/** Has a worker report results. */
export function report(session: WorkerSession, ...results: ReturnType<typeof succeeded>[]): void {
  // Results never make the worker wait.
  expect(session.receive({ kind: 'results', results })).toBeUndefined();
}
