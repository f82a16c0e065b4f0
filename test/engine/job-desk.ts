/** Jobs as the outside asks for them, on a real database and without loops: the tests say when time has come. */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { jobDefaults } from '../../src/domain/job.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { BackfillCommand } from '../../src/engine/backfill-command.ts';
import { CalendarCache } from '../../src/engine/calendar-cache.ts';
import { JobCommands } from '../../src/engine/job-commands.ts';
import { JobDesk, newPauseId } from '../../src/engine/job-operations.ts';
import type { AddJob, JobDraft, TriggerJob } from '../../src/engine/operations.ts';
import { PauseCommands } from '../../src/engine/pause-commands.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { TriggerCommand } from '../../src/engine/trigger-command.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { noMetrics } from '../../src/platform/metrics.ts';
import type { Notifier } from '../../src/store/notifier.ts';
import { caller } from '../support/caller.ts';
import { useStoredJobs } from './stored-jobs.ts';

export { caller };

export const hour = 3_600_000;

/** A whole hour that lies ahead. */
export const base = Math.ceil(Date.now() / hour) * hour + hour;

/** Fires every hour from `base` on. */
export const hourly: Schedule = {
  name: 'hourly',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE', anchorMs: base },
};

const draft: JobDraft = {
  description: '',
  labels: {},
  schedules: [],
  target: { kind: 'http', url: 'http://127.0.0.1:9/', method: 'POST', headers: {}, successCodes: [] },
  parameters: {},
  priority: 0,
  overlap: 'ALLOW',
  misfire: jobDefaults.misfire,
  retry: jobDefaults.retry,
  attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
  maxRunning: jobDefaults.maxRunning,
};

/** The error that an operation is refused with. */
export async function refusalOf(answer: Promise<unknown>): Promise<DomainError> {
  const error = await answer.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(DomainError);
  return error as DomainError;
}

/** The operations on jobs for the tests of a file, and the leader's tick at an instant of their choice. */
export function useJobDesk() {
  const stored = useStoredJobs();
  const silent: Pick<Notifier, 'notify' | 'on'> = { notify: () => undefined, on: () => () => undefined };
  let session: pg.Client;
  let desk: JobDesk;
  let instanceId: number;
  let term: number;
  let engine: ReturnType<typeof stored.engine>;
  let names = 0;

  /** The operations as another instance has them: nothing in common but the database, and whom it wakes. */
  const newDesk = (
    notifier: Pick<Notifier, 'notify' | 'on'> = silent,
    clock: Clock = systemClock,
  ): JobDesk => {
    const { store } = stored;
    const { jobs, planning, continuation } = stored.engine();
    const calendars = new CalendarCache(store);
    return new JobDesk({
      store,
      calendars,
      commands: new JobCommands({ store, planning, continuation, notifier, newPauseId }),
      pauses: new PauseCommands({ store, jobs, planning, continuation, notifier, newPauseId }),
      triggers: new TriggerCommand({ store, jobs, continuation, notifier, clock }),
      backfills: new BackfillCommand({ store, jobs, calendars, continuation, notifier }),
    });
  };

  beforeAll(async () => {
    const { store } = stored;
    engine = stored.engine();
    desk = newDesk();
    instanceId = await store.instances.register(store.db, { name: 'test', roles: '', version: '0' }, hour);
    session = await store.connect('test');
    term = (await store.leases.take(session, instanceId, hour))!;
  });
  afterAll(async () => {
    await engine.continuation.settled();
    await session.end();
  });

  /** No test meets what another one left open or due. */
  beforeEach(async () => {
    await engine.continuation.settled();
    await stored.rows('truncate carillon.execution, carillon.open_execution');
    await stored.rows('update carillon.timer set next_fire_at = null');
  });

  const addThrough = (
    through: JobDesk,
    changes: Partial<JobDraft> = {},
    more: Partial<AddJob> = {},
  ): ReturnType<JobDesk['add']> =>
    through.add(
      {
        key: { namespace: 'default', group: 'default', name: `job ${names++}` },
        draft: { ...draft, ...changes },
        startPaused: false,
        replace: false,
        requestId: '',
        requestDigest: '',
        ...more,
      },
      caller,
    );

  const add = (changes: Partial<JobDraft> = {}, more: Partial<AddJob> = {}): ReturnType<JobDesk['add']> =>
    addThrough(desk, changes, more);

  return {
    get desk() {
      return desk;
    },
    get store() {
      return stored.store;
    },
    newDesk,
    rows: stored.rows,
    timerOf: stored.timerOf,

    /** Adds a job; returns the reply. */
    add,

    /** The same through another instance. */
    addThrough,

    /** Adds a job; returns its id. */
    addId: async (changes: Partial<JobDraft> = {}): Promise<number> => (await add(changes)).job.id,

    jobOf: async (id: number) => (await desk.get({ id })).job,

    trigger: (id: number, more: Partial<TriggerJob> = {}, through: JobDesk = desk) =>
      through.trigger(
        {
          job: { id },
          requestId: '',
          requestDigest: '',
          parameters: {},
          requireActive: false,
          allowFinished: false,
          cause: 'MANUAL',
          ...more,
        },
        caller,
      ),

    /** One tick of the leader as if it were that time; for fire times that lie ahead. */
    tickAt: (atMs: number) =>
      new Scheduler({
        store: stored.store,
        planning: engine.planning,
        continuation: engine.continuation,
        notifier: silent,
        clock: systemClock,
        logger: silentLogger,
        metrics: noMetrics,
        leadership: () => ({ term, instanceId }),
        stepDown: () => undefined,
        batchSize: 100,
        safetyIntervalMs: 1_000,
        now: () => new Date(atMs),
      }).tick(),

    /** Claims the oldest execution that waits, so that it runs. */
    claimOldest: async () => (await stored.store.attempts.claim(stored.store.db, instanceId, 1))[0]!,

    /** The executions that are claimed and asked to stop. */
    listCancelRequested: () => stored.store.attempts.listCancelRequested(stored.store.db, instanceId),

    /** Reports that an attempt has succeeded. */
    succeed: ({ executionId, attempt }: { readonly executionId: number; readonly attempt: number }) =>
      stored.store.attempts.end(stored.store.db, instanceId, [
        { executionId, attempt, outcome: 'SUCCEEDED', message: '' },
      ]),

    /** The ledger of a job in short, oldest fire time first: hours after `base`, state, and reason or cause. */
    ledgerOf: async (id: number): Promise<string[]> =>
      (await stored.ledgerOf(id)).map(({ fireMs, state, cause, reason }) =>
        [(fireMs - base) / hour, state, reason ?? cause].join(' '),
      ),

    /** The states of a job's executions, oldest first. */
    statesOf: async (id: number): Promise<string[]> =>
      (
        await stored.rows<{ state: string }>(
          'select state from carillon.execution where job_id = $1 order by id',
          [id],
        )
      ).map(({ state }) => state),
  };
}
