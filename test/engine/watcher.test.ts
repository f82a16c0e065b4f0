import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import type { Execution, ExecutionState, LogEntry, LogLevel } from '../../src/domain/execution.ts';
import { type FilledEvent, stageOf } from '../../src/engine/feed-contents.ts';
import type { StreamEvent } from '../../src/engine/operations.ts';
import { cursorFromText } from '../../src/engine/stream-cursor.ts';
import { type BatchPlace, Watcher } from '../../src/engine/watcher.ts';

const watcherOf = (options: { readonly minLevel?: LogLevel; readonly maxBytes?: number } = {}): Watcher =>
  new Watcher({ epoch: 'epoch', minLevel: 'DEBUG', maxBytes: 1_000_000, wants: () => true, ...options });

const place = (batch: number, index = 0): BatchPlace => ({
  since: `${batch}:${batch}:`,
  until: `${batch + 1}:${batch + 1}:`,
  index,
});

const entry = (seq: number, level: LogLevel = 'INFO', executionId = 1): LogEntry => ({
  executionId,
  seq,
  at: new Date(0),
  level,
  message: `line ${seq}`,
  attempt: 1,
});

const linesOf = (...entries: readonly LogEntry[]): FilledEvent => ({
  kind: 'logs',
  executionId: entries[0]!.executionId,
  entries,
});

const range = (from: number, to: number): LogEntry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => entry(from + i));

function stateOf(state: ExecutionState, attempt: number, id = 1): FilledEvent {
  const execution: Execution = {
    id,
    jobId: 1,
    jobKey: { namespace: 'n', group: 'g', name: 'j' },
    schedule: '',
    cause: 'API',
    fireAt: new Date(0),
    createdAt: new Date(0),
    state,
    message: '',
    attempt,
    priority: 0,
    term: 0,
    waitingFor: '',
    skippedCount: 0,
  };
  return { kind: 'execution', execution, stage: stageOf(state, attempt) };
}

/** What a client sees, in short. */
const short = (event: StreamEvent): string => {
  if (event.kind === 'log') return `line ${event.entry.executionId}.${event.entry.seq}`;
  if (event.kind === 'execution') return `${event.execution.state} ${event.execution.id}`;
  if (event.kind === 'gap') return `gap ${event.firstSeq} to ${event.lastSeq}, ${event.count} lines`;
  return event.kind;
};

function takeAll(watcher: Watcher): string[] {
  const seen: string[] = [];
  for (let message = watcher.take(); message; message = watcher.take()) seen.push(short(message.event));
  return seen;
}

describe('a watcher', () => {
  it('hands out what it was offered, in order, once', () => {
    const watcher = watcherOf();
    watcher.offer(stateOf('RUNNING', 1), place(1, 0));
    watcher.offer(linesOf(...range(1, 2)), place(1, 1));
    watcher.offer(stateOf('SUCCEEDED', 1), place(1, 2));
    expect(takeAll(watcher)).toEqual(['RUNNING 1', 'line 1.1', 'line 1.2', 'SUCCEEDED 1']);
    expect(watcher.take()).toBeUndefined();
  });

  it('repeats nothing when a batch comes again as a whole', () => {
    const watcher = watcherOf();
    const offerBatch = (): void => {
      watcher.offer(stateOf('RUNNING', 1), place(1, 0));
      watcher.offer(linesOf(...range(1, 3)), place(1, 1));
      watcher.offer(stateOf('FAILED', 1), place(1, 2));
    };
    offerBatch();
    offerBatch();
    expect(takeAll(watcher)).toEqual(['RUNNING 1', 'line 1.1', 'line 1.2', 'line 1.3', 'FAILED 1']);
    offerBatch();
    expect(takeAll(watcher)).toEqual([]);
  });

  it('shows every attempt of an execution, and no state that lies behind', () => {
    const watcher = watcherOf();
    const states = [
      stateOf('PENDING', 0),
      stateOf('RUNNING', 1),
      stateOf('PENDING', 1),
      stateOf('RUNNING', 1),
      stateOf('RUNNING', 2),
      stateOf('CANCELED', 2),
    ];
    for (const [index, state] of states.entries()) watcher.offer(state, place(1, index));
    expect(takeAll(watcher)).toEqual(['PENDING 1', 'RUNNING 1', 'PENDING 1', 'RUNNING 1', 'CANCELED 1']);
  });

  it('shows lines from its lowest level on', () => {
    const watcher = watcherOf({ minLevel: 'WARN' });
    watcher.offer(
      linesOf(entry(1, 'DEBUG'), entry(2, 'WARN'), entry(3, 'INFO'), entry(4, 'ERROR')),
      place(1),
    );
    expect(takeAll(watcher)).toEqual(['line 1.2', 'line 1.4']);
  });

  it('gives a cursor that is behind the very line', () => {
    const watcher = watcherOf();
    watcher.offer(linesOf(...range(1, 2)), place(7, 3));
    watcher.take();
    expect(cursorFromText(watcher.take()!.cursor)).toEqual({
      epoch: 'epoch',
      since: '7:7:',
      backlog: [],
      batch: { until: '8:8:', event: 3, seq: 2 },
    });
  });

  it('shows of a past event only the lines behind a line', () => {
    const watcher = watcherOf();
    const messages = watcher.messagesOf(linesOf(...range(1, 4)), place(1), 2);
    expect(messages.map(({ event }) => short(event))).toEqual(['line 1.3', 'line 1.4']);
    watcher.offer(linesOf(...range(3, 5)), place(2));
    expect(takeAll(watcher)).toEqual(['line 1.5']);
  });
});

describe('a client that reads too slowly', () => {
  /** What one line costs. */
  const lineBytes = 200 + 2 * 'line 1'.length;

  it('gets a gap that says exactly which lines and how many are missing, then the newest lines', () => {
    const watcher = watcherOf({ maxBytes: 4 * lineBytes });
    watcher.offer(linesOf(...range(1, 9)), place(1));
    expect(takeAll(watcher)).toEqual(['gap 1 to 7, 7 lines', 'line 1.8', 'line 1.9']);
  });

  it('misses as many lines as its gaps say when lines keep coming', () => {
    const watcher = watcherOf({ maxBytes: 4 * lineBytes });
    for (let seq = 1; seq <= 9; seq++) watcher.offer(linesOf(entry(seq)), place(seq));
    const seen = takeAll(watcher);
    const missing = seen.reduce((sum, text) => sum + Number(/, (\d+) lines/.exec(text)?.[1] ?? 0), 0);
    expect(missing + seen.filter((text) => text.startsWith('line')).length).toBe(9);
    expect(seen.at(-1)).toBe('line 1.9');
    expect(seen.filter((text) => text.startsWith('gap'))).toHaveLength(1);
  });

  it('counts in a gap only the lines that it would have seen', () => {
    const watcher = watcherOf({ maxBytes: 2 * lineBytes, minLevel: 'INFO' });
    watcher.offer(linesOf(entry(1), entry(2, 'DEBUG'), entry(3), entry(4)), place(1));
    expect(takeAll(watcher)).toEqual(['gap 1 to 3, 2 lines', 'line 1.4']);
  });

  it('gets a gap for each execution whose lines are missing', () => {
    const watcher = watcherOf({ maxBytes: 2 * lineBytes });
    for (let seq = 1; seq <= 2; seq++) {
      watcher.offer(linesOf(entry(seq, 'INFO', 1)), place(1, seq));
      watcher.offer(linesOf(entry(seq, 'INFO', 2)), place(1, seq + 10));
    }
    expect(takeAll(watcher)).toEqual(['gap 1 to 1, 1 lines', 'gap 1 to 1, 1 lines', 'line 1.2', 'line 2.2']);
  });

  it('misses no state', () => {
    const watcher = watcherOf({ maxBytes: lineBytes });
    watcher.offer(stateOf('RUNNING', 1), place(1, 0));
    watcher.offer(linesOf(...range(1, 5)), place(1, 1));
    watcher.offer(stateOf('SUCCEEDED', 1), place(1, 2));
    expect(takeAll(watcher)).toEqual(['RUNNING 1', 'gap 1 to 5, 5 lines', 'SUCCEEDED 1']);
  });

  it('gets a gap that leaves out what it has seen when a batch comes again', () => {
    const watcher = watcherOf({ maxBytes: 3 * lineBytes });
    watcher.offer(linesOf(...range(1, 2)), place(1));
    expect(takeAll(watcher)).toEqual(['line 1.1', 'line 1.2']);
    watcher.offer(linesOf(...range(1, 6)), place(1));
    expect(takeAll(watcher)).toEqual(['gap 3 to 5, 3 lines', 'line 1.6']);
  });

  it('goes on behind the gap with the cursor of its last line', () => {
    const watcher = watcherOf({ maxBytes: 2 * lineBytes });
    watcher.offer(linesOf(...range(1, 4)), place(1));
    expect(cursorFromText(watcher.take()!.cursor).batch?.seq).toBe(3);
  });

  it('gets a gap that counts each line once when a batch comes again before it was read', () => {
    const watcher = watcherOf({ maxBytes: 4 * lineBytes });
    watcher.offer(linesOf(...range(1, 3)), place(1));
    watcher.offer(linesOf(...range(1, 6)), place(1));
    expect(takeAll(watcher)).toEqual(['gap 1 to 4, 4 lines', 'line 1.5', 'line 1.6']);
  });
});

describe('waiting for a message', () => {
  it('is over when one is offered, when one is there already, and when the stream fails', () => {
    const watcher = watcherOf();
    let calls = 0;
    watcher.onMessage(() => calls++);
    expect(calls).toBe(0);
    watcher.offer(linesOf(entry(1)), place(1));
    expect(calls).toBe(1);
    watcher.onMessage(() => calls++);
    expect(calls).toBe(2);
    watcher.fail(new DomainError('UNAVAILABLE', 'stopping'));
    expect(calls).toBe(3);
    watcher.onMessage(undefined);
    expect(short(watcher.take()!.event)).toBe('line 1.1');
    expect(() => watcher.take()).toThrow('stopping');
  });
});
