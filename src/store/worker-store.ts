import { type Db, run } from './database.ts';

export type WorkerState = 'CONNECTED' | 'DISCONNECTED' | 'DRAINING';

/** A worker that holds a stream to an instance, or did until a moment ago. */
export type WorkerRow = {
  readonly namespace: string;
  readonly workerId: string;
  readonly queues: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: number;
  readonly running: number;
  readonly version: string;
  readonly state: WorkerState;
};

/** A worker as people see it. */
export type ListedWorker = WorkerRow & {
  readonly instance: string;
  readonly connectedAt: Date;
  readonly seenAt: Date;
};

/** The table of workers: for people, and to say why an execution waits. */
export class PgWorkerStore {
  /** Notes that a worker is connected to an instance, in place of whatever was noted of it. */
  async upsert(db: Db, instanceId: number, worker: WorkerRow): Promise<void> {
    await run(
      db,
      `insert into carillon.worker (namespace, worker_id, instance_id, queues, labels, capacity, running, version, state)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       on conflict (namespace, worker_id) do update
          set instance_id = excluded.instance_id, queues = excluded.queues, labels = excluded.labels,
              capacity = excluded.capacity, running = excluded.running, version = excluded.version,
              state = excluded.state, connected_at = excluded.connected_at, seen_at = excluded.seen_at`,
      [
        worker.namespace,
        worker.workerId,
        instanceId,
        worker.queues,
        JSON.stringify(worker.labels),
        worker.capacity,
        worker.running,
        worker.version,
        worker.state,
      ],
    );
  }

  /** Notes how the workers of an instance are, in one statement. */
  async touch(
    db: Db,
    instanceId: number,
    workers: readonly Pick<WorkerRow, 'namespace' | 'workerId' | 'running' | 'state'>[],
  ): Promise<void> {
    await run(
      db,
      `/* touch_workers */
       update carillon.worker w set running = t.running, state = t.state, seen_at = clock_timestamp()
         from unnest($2::text[], $3::text[], $4::integer[], $5::text[]) as t (namespace, worker_id, running, state)
        where w.namespace = t.namespace and w.worker_id = t.worker_id and w.instance_id = $1`,
      [
        instanceId,
        workers.map((w) => w.namespace),
        workers.map((w) => w.workerId),
        `{${workers.map((w) => w.running).join(',')}}`,
        workers.map((w) => w.state),
      ],
    );
  }

  /** Takes a worker off the table, unless it has connected to another instance meanwhile. */
  async remove(db: Db, instanceId: number, namespace: string, workerId: string): Promise<void> {
    await run(
      db,
      'delete from carillon.worker where namespace = $1 and worker_id = $2 and instance_id = $3',
      [namespace, workerId, instanceId],
    );
  }

  /** A page of workers by namespace and id. */
  async list(
    db: Db,
    filter: { readonly namespace?: string; readonly within?: readonly string[]; readonly queue?: string },
    after: { readonly namespace: string; readonly workerId: string } | undefined,
    limit: number,
  ): Promise<readonly ListedWorker[]> {
    return run(
      db,
      `select w.namespace, w.worker_id as "workerId", w.queues, w.labels, w.capacity, w.running, w.version, w.state,
              i.name as instance, w.connected_at as "connectedAt", w.seen_at as "seenAt"
         from carillon.worker w join carillon.instance i on i.id = w.instance_id
        where ($1::text is null or w.namespace = $1) and ($2::text is null or $2 = any (w.queues))
          and ($3::text is null or (w.namespace, w.worker_id) > ($3, $4))
          and ($6::text[] is null or w.namespace = any ($6))
        order by w.namespace, w.worker_id limit $5`,
      [
        filter.namespace ?? null,
        filter.queue ?? null,
        after?.namespace ?? null,
        after?.workerId ?? null,
        limit,
        filter.within ?? null,
      ],
    );
  }
}

/** Workers as the engine sees them. */
export type WorkerStore = Pick<PgWorkerStore, keyof PgWorkerStore>;
