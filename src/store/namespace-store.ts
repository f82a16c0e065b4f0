import type { Namespace, NamespaceDraft, NamespaceLimits, Queue } from '../domain/namespace.ts';
import type { RunLimits } from '../domain/run-limits.ts';
import { type Db, run, type Tx } from './database.ts';
import { laneOf } from './lanes.ts';

/** Open executions are looked through for wrong lanes in steps of so many. */
const settleStep = 20_000;

/** No transaction that has not seen a committed change lives longer than this, in milliseconds. */
const oldestTransactionMs = 30_000;

/** What is settled: namespaces and queues whose limits have changed. */
export type Unsettled = {
  readonly namespaces: readonly string[];
  readonly queueIds: readonly number[];
  /** When this was asked, by the database's clock. */
  readonly at: Date;
};

/** A namespace by what bounds the logs of its attempts or its streams. */
export type BoundedNamespace = { readonly name: string } & Pick<
  NamespaceLimits,
  'logBytesPerAttempt' | 'maxStreams'
>;

/** Namespaces, and the limits of namespaces and queues. */
export class PgNamespaceStore {
  /** Makes a namespace where there is none. */
  async ensure(db: Db, name: string): Promise<void> {
    const found = await run(db, '/* has_namespace */ select 1 from carillon.namespace where name = $1', [
      name,
    ]);
    if (found.length > 0) return;
    await run(db, 'insert into carillon.namespace (name) values ($1) on conflict (name) do nothing', [name]);
  }

  /** Makes a namespace with its limits; false when there is one of that name. */
  async insert(tx: Tx, { name, description, limits }: NamespaceDraft): Promise<boolean> {
    const inserted = await run(
      tx,
      `/* insert_namespace */
       insert into carillon.namespace (name, description, max_running, start_count, start_period_ms, max_jobs,
                                       executions_per_minute, log_bytes_per_attempt, max_streams, limits_changed_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp()) on conflict (name) do nothing returning id`,
      [name, description, ...limitValues(limits), ...intakeValues(limits)],
    );
    return inserted.length > 0;
  }

  /** Changes what is given of a namespace; undefined when there is none. */
  async update(
    tx: Tx,
    name: string,
    changes: { readonly description?: string; readonly limits?: NamespaceLimits },
  ): Promise<Namespace | undefined> {
    const { description, limits } = changes;
    if (limits) {
      await run(tx, changeLimits('namespace', 'name = $1'), [name, ...limitValues(limits)]);
      await run(
        tx,
        `/* limit_intake */
         update carillon.namespace
            set max_jobs = $2, executions_per_minute = $3, log_bytes_per_attempt = $4, max_streams = $5
          where name = $1`,
        [name, ...intakeValues(limits)],
      );
    }
    if (description !== undefined) {
      await run(
        tx,
        'update carillon.namespace set description = $2, updated_at = clock_timestamp() where name = $1',
        [name, description],
      );
    }
    return this.find(tx, name);
  }

  /** Locks a namespace for a change, and reads it. */
  async lock(tx: Tx, name: string): Promise<Namespace | undefined> {
    const [row] = await run<NamespaceRow>(
      tx,
      `/* lock_namespace */ ${selectNamespace} where name = $1 for no key update`,
      [name],
    );
    return row && namespaceFromRow(row);
  }

  /** Locks a queue for a change, and reads it. */
  async lockQueue(tx: Tx, queueId: number): Promise<Queue | undefined> {
    const [row] = await run<QueueRow>(tx, `/* lock_queue */ ${selectQueue} where id = $1 for no key update`, [
      queueId,
    ]);
    return row && queueFromRow(row);
  }

  async find(db: Db, name: string): Promise<Namespace | undefined> {
    const [row] = await run<NamespaceRow>(db, `/* find_namespace */ ${selectNamespace} where name = $1`, [
      name,
    ]);
    return row && namespaceFromRow(row);
  }

  /** Namespaces whose names come after one, in the order of the names. */
  async list(
    db: Db,
    within: readonly string[] | undefined,
    after: string | undefined,
    limit: number,
  ): Promise<readonly Namespace[]> {
    const rows = await run<NamespaceRow>(
      db,
      `/* list_namespaces */
       ${selectNamespace} where ($1::text is null or name > $1) and ($3::text[] is null or name = any ($3))
        order by name limit $2`,
      [after ?? null, limit, within ?? null],
    );
    return rows.map(namespaceFromRow);
  }

  /** The namespaces that bound their logs or streams; by namespace_bounded_idx. */
  async listBounded(db: Db): Promise<readonly BoundedNamespace[]> {
    const rows = await run<Pick<NamespaceRow, 'name' | 'logBytesPerAttempt' | 'maxStreams'>>(
      db,
      `/* bounded_namespaces */
       select name, log_bytes_per_attempt as "logBytesPerAttempt", max_streams as "maxStreams"
         from carillon.namespace where log_bytes_per_attempt is not null or max_streams is not null`,
    );
    return rows.map((row) => ({
      name: row.name,
      logBytesPerAttempt: row.logBytesPerAttempt ?? undefined,
      maxStreams: row.maxStreams ?? undefined,
    }));
  }

  /** Sets the limits of a queue that exists. */
  async limitQueue(tx: Tx, queueId: number, limits: RunLimits): Promise<void> {
    await run(tx, changeLimits('queue', 'id = $1'), [queueId, ...limitValues(limits)]);
  }

  async findQueue(db: Db, namespace: string, name: string): Promise<Queue | undefined> {
    const [row] = await run<QueueRow>(
      db,
      `/* find_queue */ ${selectQueue} where namespace = $1 and name = $2`,
      [namespace, name],
    );
    return row && queueFromRow(row);
  }

  /** The queues of a namespace whose names come after one, in the order of the names. */
  async listQueues(
    db: Db,
    namespace: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly Queue[]> {
    const rows = await run<QueueRow>(
      db,
      `/* list_queues */
       ${selectQueue} where namespace = $1 and ($2::text is null or name > $2) order by name limit $3`,
      [namespace, after ?? null, limit],
    );
    return rows.map(queueFromRow);
  }

  /** The namespaces and queues whose open executions may stand in wrong lanes. */
  async listUnsettled(db: Db): Promise<Unsettled> {
    const [row] = await run<Unsettled>(
      db,
      `/* unsettled_limits */
       select array(select name from carillon.namespace where limits_changed_at is not null) as namespaces,
              array(select id from carillon.queue where limits_changed_at is not null) as "queueIds",
              clock_timestamp() as at`,
    );
    return row!;
  }

  /**
   * Puts the open executions of these namespaces and queues into the lanes that
   * their present limits make, in one step behind an execution. Returns where
   * the next step begins; undefined after the last one.
   */
  async settle(
    db: Db,
    { namespaces, queueIds }: Pick<Unsettled, 'namespaces' | 'queueIds'>,
    afterId: number,
  ): Promise<number | undefined> {
    const [row] = await run<{ count: number; lastId: number | null }>(
      db,
      `/* settle_lanes */
       with step as materialized (
         select execution_id, job_id, lane from carillon.open_execution
          where execution_id > $3::bigint order by execution_id limit ${settleStep}
       ), wrong as materialized (
         select s.execution_id, ${laneOf('j')} as lane from step s join carillon.job j on j.id = s.job_id
          where (j.namespace = any ($1::text[]) or j.queue_id = any ($2::bigint[]))
            and s.lane is distinct from ${laneOf('j')}
       ), locked as materialized (
         select o.execution_id, w.lane from carillon.open_execution o join wrong w using (execution_id)
          order by o.execution_id for update of o
       ), settled as (
         update carillon.open_execution o set lane = l.lane from locked l where o.execution_id = l.execution_id
       )
       select count(*) as count, max(execution_id) as "lastId" from step`,
      [namespaces, queueIds, afterId],
    );
    return row!.count < settleStep ? undefined : row!.lastId!;
  }

  /** Takes note that lanes are right for good: of changes so old when it was asked that everybody wrote by them. */
  async concludeSettling(db: Db, { namespaces, queueIds, at }: Unsettled): Promise<void> {
    const old = `limits_changed_at < $3::timestamptz - ${oldestTransactionMs} * interval '1 millisecond'`;
    await run(
      db,
      `/* conclude_settling */
       with queues as (
         update carillon.queue set limits_changed_at = null where id = any ($2::bigint[]) and ${old}
       )
       update carillon.namespace set limits_changed_at = null where name = any ($1::text[]) and ${old}`,
      [namespaces, queueIds, at],
    );
  }
}

/** Namespaces as the engine sees them. */
export type NamespaceStore = Pick<PgNamespaceStore, keyof PgNamespaceStore>;

type LimitRow = {
  readonly maxRunning: number | null;
  readonly startCount: number | null;
  readonly startPeriodMs: number | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};
type NamespaceRow = LimitRow & {
  readonly name: string;
  readonly description: string;
  readonly maxJobs: number | null;
  readonly executionsPerMinute: number | null;
  readonly logBytesPerAttempt: number | null;
  readonly maxStreams: number | null;
};
type QueueRow = LimitRow & { readonly name: string; readonly namespace: string };

const limitColumns = `max_running as "maxRunning", start_count as "startCount", start_period_ms as "startPeriodMs",
  created_at as "createdAt", updated_at as "updatedAt"`;
const selectNamespace = `select name, description, max_jobs as "maxJobs", executions_per_minute as "executionsPerMinute",
  log_bytes_per_attempt as "logBytesPerAttempt", max_streams as "maxStreams", ${limitColumns} from carillon.namespace`;
const selectQueue = `select namespace, name, ${limitColumns} from carillon.queue`;

const limitValues = ({ maxRunning, startRate }: RunLimits): readonly (number | null)[] => [
  maxRunning ?? null,
  startRate?.count ?? null,
  startRate?.periodMs ?? null,
];

const intakeValues = (limits: NamespaceLimits): readonly (number | null)[] => [
  limits.maxJobs ?? null,
  limits.executionsPerMinute ?? null,
  limits.logBytesPerAttempt ?? null,
  limits.maxStreams ?? null,
];

/** What is booked stays booked, but not further ahead than the new rate allows. */
const changeLimits = (table: 'namespace' | 'queue', condition: string): string => `/* limit_${table} */
  update carillon.${table}
     set max_running = $2, start_count = $3, start_period_ms = $4::bigint, limits_changed_at = clock_timestamp(),
         starts_booked_until = case when starts_booked_until > clock_timestamp() + $4::bigint * interval '1 millisecond'
                                    then clock_timestamp() + $4::bigint * interval '1 millisecond'
                                    else starts_booked_until end,
         updated_at = clock_timestamp()
   where ${condition}`;

const limitsFromRow = ({ maxRunning, startCount, startPeriodMs }: LimitRow): RunLimits => ({
  maxRunning: maxRunning ?? undefined,
  startRate: startCount === null ? undefined : { count: startCount, periodMs: startPeriodMs! },
});

const namespaceFromRow = (row: NamespaceRow): Namespace => ({
  name: row.name,
  description: row.description,
  limits: {
    ...limitsFromRow(row),
    maxJobs: row.maxJobs ?? undefined,
    executionsPerMinute: row.executionsPerMinute ?? undefined,
    logBytesPerAttempt: row.logBytesPerAttempt ?? undefined,
    maxStreams: row.maxStreams ?? undefined,
  },
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});

const queueFromRow = (row: QueueRow): Queue => ({
  namespace: row.namespace,
  name: row.name,
  limits: limitsFromRow(row),
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});
