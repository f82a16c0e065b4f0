import { isFinal } from '../domain/execution.ts';
import type { FeedPosition } from '../domain/feed-position.ts';
import type { JobRef } from '../domain/job.ts';
import { selects } from '../domain/selector.ts';
import type { Store } from '../store/store.ts';
import { isFinalStage, stageOf } from './feed-contents.ts';
import type { FeedJobs } from './feed-jobs.ts';
import type { StreamRequest } from './operations.ts';
import { executionNotFound, jobNotFound } from './refusals.ts';
import type { BacklogEntry } from './stream-cursor.ts';

/** What a stream is of, and where it begins: read from the tables before it enters the feed. */

export type SourceStore = Pick<Store, 'db' | 'snapshot' | 'feed' | 'ledger' | 'logs' | 'triggers'>;

/** The most executions that a stream shows the past of. */
const maxBacklog = 200;

/** Tells whether an event belongs to a stream; refuses a source that does not exist. */
export async function matcherOf(
  store: SourceStore,
  jobs: FeedJobs,
  source: StreamRequest['source'],
): Promise<(event: { executionId: number; jobId: number }) => boolean> {
  if ('executionId' in source) {
    const known = await store.ledger.listKnownIds(store.db, [source.executionId]);
    if (!known.has(source.executionId)) throw executionNotFound(source.executionId);
    return (event) => event.executionId === source.executionId;
  }
  if ('job' in source) {
    const id = await findJobId(store, source.job);
    return (event) => event.jobId === id;
  }
  return (event) => {
    const job = jobs.find(event.jobId);
    return job !== undefined && selects(source.selector, job);
  };
}

/** Whether an execution has reached a final state. */
export async function isOver(store: SourceStore, executionId: number): Promise<boolean> {
  const [execution] = await store.ledger.listByIds(store.db, [executionId]);
  return execution !== undefined && isFinal(execution.state);
}

/** Where a new stream begins: a position, and as of then the executions whose past it shows, oldest first. */
export async function beginningOf(
  store: SourceStore,
  { source, tail }: StreamRequest,
): Promise<{ readonly since: FeedPosition; readonly backlog: readonly BacklogEntry[] }> {
  const only = 'executionId' in source ? [source.executionId] : undefined;
  const jobs =
    'job' in source
      ? { jobIds: [await findJobId(store, source.job)] }
      : 'selector' in source
        ? { selector: source.selector }
        : { jobIds: [] };
  return store.snapshot(async (tx) => {
    const { position: since } = await store.feed.readPosition(tx);
    const executions = only
      ? await store.ledger.listByIds(tx, only)
      : tail === undefined
        ? await store.ledger.listOpen(tx, jobs, maxBacklog)
        : await store.ledger.listNewest(tx, jobs, maxBacklog);
    const lastSeqs = await store.logs.listLastSeqs(
      tx,
      executions.map(({ id }) => id),
    );
    const backlog = executions.map(({ id, state, attempt }) => ({
      executionId: id,
      seq: 0,
      stage: 0,
      untilSeq: lastSeqs.get(id) ?? 0,
      untilStage: stageOf(state, attempt),
    }));
    return { since, backlog: tail === undefined ? backlog : cutToTail(backlog, tail, only !== undefined) };
  });
}

/** Cuts a backlog to its last lines: executions without any of them are left out, unless they are open. */
function cutToTail(backlog: readonly BacklogEntry[], tail: number, keepAll: boolean): BacklogEntry[] {
  const kept: BacklogEntry[] = [];
  let left = tail;
  for (const entry of backlog.toReversed()) {
    const lines = Math.min(left, entry.untilSeq);
    if (lines === 0 && isFinalStage(entry.untilStage) && !keepAll) continue;
    left -= lines;
    kept.unshift({ ...entry, seq: entry.untilSeq - lines });
  }
  return kept;
}

async function findJobId(store: SourceStore, ref: JobRef): Promise<number> {
  const [job] = await store.triggers.resolveJobs(store.db, [ref]);
  if (!job) throw jobNotFound(ref);
  return job.id;
}
