import { DomainError } from '../domain/errors.ts';
import { type FeedPosition, isFeedPosition } from '../domain/feed-position.ts';

/**
 * An execution whose past is still to be shown: its lines behind `seq`, its
 * state if newer than `stage`. The past ends where the feed of the cursor
 * begins: at line `untilSeq` and stage `untilStage`. What came later comes from
 * the feed, so the two neither overlap nor leave a gap, also when the client
 * leaves between them.
 */
export type BacklogEntry = {
  readonly executionId: number;
  readonly seq: number;
  readonly stage: number;
  readonly untilSeq: number;
  readonly untilStage: number;
};

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
    backlog.flatMap(({ executionId, seq, stage, untilSeq, untilStage }) => [
      executionId,
      seq,
      stage,
      untilSeq,
      untilStage,
    ]),
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

/** The numbers of one backlog entry. */
const entryCounts = 5;

function backlogOf(counts: readonly number[]): BacklogEntry[] {
  const backlog: BacklogEntry[] = [];
  for (let i = 0; i < counts.length; i += entryCounts) {
    const [executionId, seq, stage, untilSeq, untilStage] = counts.slice(i, i + entryCounts);
    backlog.push({
      executionId: executionId!,
      seq: seq!,
      stage: stage!,
      untilSeq: untilSeq!,
      untilStage: untilStage!,
    });
  }
  return backlog;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) &&
  value.length % entryCounts === 0 &&
  value.length <= 1_000 * entryCounts &&
  value.every(isCount);

const isPosition = (value: unknown): value is string => typeof value === 'string' && isFeedPosition(value);

function invalidCursor(): DomainError {
  const description = 'is not the cursor of a stream message';
  return new DomainError('INVALID_ARGUMENT', `cursor: ${description}`, {
    metadata: { field: 'cursor', description },
    violations: [{ field: 'cursor', description }],
  });
}
