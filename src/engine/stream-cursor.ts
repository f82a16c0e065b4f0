import { DomainError } from '../domain/errors.ts';
import { type FeedPosition, isFeedPosition } from '../domain/feed-position.ts';

/** An execution whose past is still to be shown: its lines behind `seq`, its state if newer than `stage`. */
export type BacklogEntry = { readonly executionId: number; readonly seq: number; readonly stage: number };

/**
 * Where a stream goes on. First comes what is left of the backlog: executions
 * that were there when the stream began. Then comes the feed from `since` on;
 * within a batch of the feed also where the batch ends, and up to which event
 * and line of it everything was seen. So a client may leave anywhere and
 * neither misses nor repeats anything.
 */
export type StreamCursor = {
  readonly epoch: string;
  readonly since: FeedPosition;
  readonly backlog: readonly BacklogEntry[];
  readonly batch?: { readonly until: FeedPosition; readonly event: number; readonly seq: number };
};

/** Writes a cursor; opaque to callers. */
export function cursorText({ epoch, since, backlog, batch }: StreamCursor): string {
  const parts: unknown[] = [
    epoch,
    since,
    backlog.flatMap(({ executionId, seq, stage }) => [executionId, seq, stage]),
  ];
  if (batch) parts.push(batch.until, batch.event, batch.seq);
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Reads a cursor; refuses with INVALID_ARGUMENT what is none. */
export function cursorFromText(text: string): StreamCursor {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    throw invalidCursor();
  }
  if (!Array.isArray(parts)) throw invalidCursor();
  const [epoch, since, backlog, until, event, seq] = parts as unknown[];
  if (typeof epoch !== 'string' || epoch.length > 64 || !isPosition(since) || !isCounts(backlog))
    throw invalidCursor();
  const cursor = { epoch, since, backlog: backlogOf(backlog) };
  if (parts.length === 3) return cursor;
  if (parts.length !== 6 || !isPosition(until) || !isCount(event) || !isCount(seq)) throw invalidCursor();
  return { ...cursor, batch: { until, event, seq } };
}

function backlogOf(counts: readonly number[]): BacklogEntry[] {
  const backlog: BacklogEntry[] = [];
  for (let i = 0; i + 2 < counts.length; i += 3) {
    backlog.push({ executionId: counts[i]!, seq: counts[i + 1]!, stage: counts[i + 2]! });
  }
  return backlog;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length % 3 === 0 && value.length <= 3_000 && value.every(isCount);

const isPosition = (value: unknown): value is string => typeof value === 'string' && isFeedPosition(value);

function invalidCursor(): DomainError {
  const description = 'is not the cursor of a stream message';
  return new DomainError('INVALID_ARGUMENT', `cursor: ${description}`, {
    metadata: { field: 'cursor', description },
    violations: [{ field: 'cursor', description }],
  });
}
