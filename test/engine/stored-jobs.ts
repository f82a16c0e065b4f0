/** Jobs in a real database, with the parts of the engine that time them. */
import { afterAll, beforeAll } from 'vitest';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import { identityOf } from '../../src/domain/schedule/identity.ts';
import type { Schedule, ScheduleProgress } from '../../src/domain/schedule/schedule.ts';
import { CalendarCache } from '../../src/engine/calendar-cache.ts';
import { FirePlanning } from '../../src/engine/fire-planning.ts';
import { JobCache } from '../../src/engine/job-cache.ts';
import { JobContinuation } from '../../src/engine/job-continuation.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { type Database, run } from '../../src/store/database.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

/** What a stored job is made of, where it differs. */
export type StoredJob = {
  readonly schedules?: readonly Schedule[];
  readonly definition?: Partial<JobDefinition>;
  readonly nextFireMs?: number;
  readonly progress?: readonly ScheduleProgress[];
};

/** An execution as the ledger holds it; times are milliseconds. */
export type StoredExecution = {
  readonly fireMs: number;
  readonly state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'CANCELED';
  readonly finishedMs?: number;
  readonly buffered?: boolean;
  /** The schedules that keep count of it. */
  readonly charged?: readonly Schedule[];
};

const definition: JobDefinition = {
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

/** A database for the tests of a file, and what they do in it. */
export function useStoredJobs() {
  const testDatabase = useTestDatabase();
  let database: Database | undefined;
  let store: Store;
  let names = 0;

  beforeAll(() => {
    database = openDatabase(testDatabase.url, 6);
    store = createStore(database);
  });
  afterAll(() => database?.close());

  const rows = <Row>(text: string, parameters: readonly unknown[] = []): Promise<Row[]> =>
    run<Row>(store.db, text, parameters);

  return {
    get store(): Store {
      return store;
    },
    rows,

    /** Parts as an instance has them; topics that are announced are noted. */
    engine() {
      const jobs = new JobCache(store);
      const planning = new FirePlanning({
        store,
        jobs,
        calendars: new CalendarCache(store),
        clock: systemClock,
        logger: silentLogger,
      });
      const topics: string[] = [];
      const notifier = { notify: (topic: string) => void topics.push(topic) };
      const continuation = new JobContinuation({
        store,
        jobs,
        planning,
        notifier,
        clock: systemClock,
        logger: silentLogger,
      });
      return { jobs, planning, continuation, topics };
    },

    async addJob({ schedules = [], definition: more, nextFireMs, progress = [] }: StoredJob = {}) {
      const [id] = await store.triggers.drawIds(store.db, 1);
      const key = { namespace: 'default', group: 'default', name: `job ${names++}` };
      await store.transaction((tx) =>
        store.jobs.insert(
          tx,
          id!,
          key,
          { ...definition, ...more, schedules },
          {
            nextFireMs: nextFireMs ?? null,
            progress,
          },
        ),
      );
      return id!;
    },

    async addExecution(jobId: number, { fireMs, state, finishedMs, buffered, charged }: StoredExecution) {
      const isOpen = state === 'PENDING' || state === 'RUNNING';
      const [row] = await rows<{ id: number }>(
        `insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, priority, cause, state,
                                         schedule)
         values (carillon.next_id(), $1, to_timestamp($2::float8 / 1000), to_timestamp($2::float8 / 1000),
                 to_timestamp($3::float8 / 1000), 1, 0, 'SCHEDULE', $4, 'main') returning id`,
        [jobId, fireMs, finishedMs ?? null, state],
      );
      if (isOpen) {
        await rows(
          `insert into carillon.open_execution (execution_id, job_id, priority, buffered_for, charged)
           values ($1, $2, 0, case when $3 then to_timestamp($4::float8 / 1000) end, $5)`,
          [row!.id, jobId, buffered ?? false, fireMs, charged?.map(identityOf) ?? null],
        );
      }
      return row!.id;
    },

    /** The timer row of a job. */
    async timerOf(jobId: number) {
      const [row] = await rows<{
        nextFireMs: number | null;
        progress: ScheduleProgress[];
        waits: boolean;
        zoneData: string;
      }>(
        `select (extract(epoch from next_fire_at) * 1000)::float8 as "nextFireMs", progress, waits_for_finish as waits,
                zone_data as "zoneData" from carillon.timer where job_id = $1`,
        [jobId],
      );
      return row!;
    },

    /** The ledger of a job, oldest fire time first. */
    ledgerOf: (jobId: number) =>
      rows<{ fireMs: number; state: string; cause: string; reason: string | null; buffered: boolean | null }>(
        `select (extract(epoch from e.fire_at) * 1000)::float8 as "fireMs", e.state, e.cause, e.reason,
                o.buffered_for is not null and o.execution_id is not null as buffered
           from carillon.execution e left join carillon.open_execution o on o.execution_id = e.id
          where e.job_id = $1 order by e.fire_at, e.id`,
        [jobId],
      ),
  };
}
