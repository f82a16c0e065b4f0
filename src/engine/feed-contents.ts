import type { Execution, ExecutionState, LogEntry } from '../domain/execution.ts';
import type { Db } from '../store/database.ts';
import type { FeedEvent } from '../store/feed-store.ts';
import type { Store } from '../store/store.ts';

/**
 * How far an execution has come: grows with every state that it enters, so that
 * what was shown already is known without comparing times. Waiting again after
 * attempt n counts as later than running attempt n.
 */
export function stageOf(state: ExecutionState, attempt: number): number {
  if (state === 'RUNNING') return attempt * 4 + 1;
  if (state === 'PENDING') return attempt * 4 + 2;
  return attempt * 4 + 3;
}

/** Whether a stage is that of a final state. */
export const isFinalStage = (stage: number): boolean => stage % 4 === 3;

/** An execution as it was at a stage, as far as later states have not overwritten it. */
export function executionAtStage(execution: Execution, stage: number): Execution {
  const attempt = Math.floor(stage / 4);
  if (stage % 4 === 1) return executionAt(execution, 'RUNNING', attempt);
  if (stage % 4 === 2) return executionAt(execution, 'PENDING', attempt);
  return execution;
}

/** A feed event with what it speaks of. */
export type FilledEvent =
  | { readonly kind: 'execution'; readonly execution: Execution; readonly stage: number }
  | { readonly kind: 'logs'; readonly executionId: number; readonly entries: readonly LogEntry[] };

/** The most lines that are read at once. */
const maxLines = 5_000;

/**
 * Reads what feed events speak of, a bounded slice at a time, with two
 * statements a slice. Yields each event's index with its content; events whose
 * rows are gone are left out.
 */
export async function* fillEvents(
  store: Pick<Store, 'ledger' | 'logs'>,
  db: Db,
  events: readonly { readonly index: number; readonly event: FeedEvent }[],
): AsyncGenerator<
  readonly { readonly index: number; readonly event: FeedEvent; readonly filled: FilledEvent }[]
> {
  for (let from = 0; from < events.length; ) {
    let lines = 0;
    let to = from;
    // At least one event a slice, however many lines it has.
    for (; to < events.length && (to === from || lines < maxLines) && to - from < 2_000; to++) {
      const { event } = events[to]!;
      if (event.kind === 'logs') lines += event.lastSeq - event.firstSeq + 1;
    }
    const slice = events.slice(from, to);
    from = to;
    const states = slice.filter(({ event }) => event.kind === 'state');
    const executions = new Map(
      (await store.ledger.listByIds(db, [...new Set(states.map(({ event }) => event.executionId))])).map(
        (execution) => [execution.id, execution],
      ),
    );
    const ranges = slice.flatMap(({ event }) => (event.kind === 'logs' ? [event] : []));
    const entries = ranges.length === 0 ? [] : await store.logs.listRanges(db, ranges, 'DEBUG', lines);
    const linesOf = Map.groupBy(entries, (entry) => entry.executionId);
    yield slice.flatMap(({ index, event }) => {
      const filled = fill(event, executions, linesOf);
      return filled ? [{ index, event, filled }] : [];
    });
  }
}

function fill(
  event: FeedEvent,
  executions: ReadonlyMap<number, Execution>,
  linesOf: ReadonlyMap<number, readonly LogEntry[]>,
): FilledEvent | undefined {
  if (event.kind === 'logs') {
    const entries = (linesOf.get(event.executionId) ?? []).filter(
      ({ seq }) => seq >= event.firstSeq && seq <= event.lastSeq,
    );
    return entries.length > 0 ? { kind: 'logs', executionId: event.executionId, entries } : undefined;
  }
  const execution = executions.get(event.executionId);
  if (!execution) return undefined;
  return {
    kind: 'execution',
    execution: executionAt(execution, event.state, event.attempt),
    stage: stageOf(event.state, event.attempt),
  };
}

/** An execution as it was when it entered a state, as far as later states have not overwritten it. */
function executionAt(execution: Execution, state: ExecutionState, attempt: number): Execution {
  if (execution.state === state && execution.attempt === attempt) return execution;
  return {
    ...execution,
    state,
    attempt,
    startedAt: attempt > 0 ? execution.startedAt : undefined,
    finishedAt: undefined,
    reason: undefined,
    message: '',
    result: undefined,
    waitingFor: '',
    cause: execution.cause,
  };
}
