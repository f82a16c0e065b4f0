import { describe, expect, it } from 'vitest';
import { AttemptRun } from '../../src/engine/attempt-run.ts';
import type { CachedJob } from '../../src/engine/job-cache.ts';
import type { AttemptLog } from '../../src/engine/log-writer.ts';
import type { AbortCause, DeliveryContext, DeliveryResult } from '../../src/engine/targets/target.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { ClaimedAttempt } from '../../src/store/attempt-store.ts';
import { ManualClock, settle } from '../platform/manual-clock.ts';

const job = {
  id: 1,
  key: { namespace: 'n', group: 'g', name: 'j' },
  generation: 1,
  definition: {
    target: { kind: 'http', heartbeatTimeoutMs: 2_000 },
    parameters: { text: 'of the job' },
    retry: { maxAttempts: 2, initialBackoffMs: 1_000, maxBackoffMs: 1_000, multiplier: 1, jitter: 0 },
    attemptTimeoutMs: 5_000,
  },
} as unknown as CachedJob;

const claimed: ClaimedAttempt = {
  executionId: 7,
  attempt: 1,
  jobId: 1,
  generation: 1,
  fireMs: 0,
  cause: 'SCHEDULE',
  term: 3,
  priority: 0,
  parameters: { text: 'of the run' },
  lastSeq: 0,
  cancelRequested: false,
  workerId: null,
  heldMs: 0,
};

const succeeded: DeliveryResult = { outcome: 'SUCCEEDED', message: '', retryable: false };
const accepted: DeliveryResult = { outcome: 'ACCEPTED', message: '', retryable: false, loggedBytes: 70 };
const failed: DeliveryResult = { outcome: 'FAILED', reason: 'TARGET_ERROR', message: 'no', retryable: true };

/** Resolves to a failure when the signal aborts, as targets do. */
const untilAborted = ({ signal }: Pick<DeliveryContext, 'signal'>): Promise<DeliveryResult> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve({ ...failed, message: 'aborted' }));
  });

type Setup = {
  readonly answer: (context: DeliveryContext) => Promise<DeliveryResult>;
  readonly attempt?: Partial<ClaimedAttempt>;
  readonly isAlive?: boolean;
};

/** A run over a fake target, with what it delivered and the refusal of its log. */
function runOf({ answer, attempt = {}, isAlive = true }: Setup) {
  const clock = new ManualClock();
  const delivered: unknown[] = [];
  let refuse = (): void => undefined;
  const run = new AttemptRun(
    {
      clock,
      logger: silentLogger,
      isAlive: () => isAlive,
      random: () => 0,
      maxLogBytes: (namespace) => namespace.length,
      tokens: { create: ({ executionId, attempt }) => `token of ${executionId}/${attempt}` },
      logs: {
        open: (_executionId, _attempt, _lastSeq, onRefused) => {
          refuse = onRefused;
          return { add: async () => undefined, flush: async () => undefined } as unknown as AttemptLog;
        },
      },
      target: {
        deliver: (_target, delivery, context) => {
          delivered.push(delivery);
          return answer(context);
        },
        close: async () => undefined,
      },
    },
    { ...claimed, ...attempt },
    job,
  );
  const ended = async () => (await run.run()).end;
  return { run, ended, clock, delivered, refuseLog: () => refuse() };
}

describe('an attempt', () => {
  it("is delivered with the run's parameters over the job's, and its end is what the target says", async () => {
    const { ended, clock, delivered } = runOf({ answer: async () => succeeded });
    expect(await ended()).toMatchObject({ executionId: 7, attempt: 1, outcome: 'SUCCEEDED' });
    expect(delivered).toMatchObject([{ executionId: 7, term: 3, parameters: { text: 'of the run' } }]);
    expect(clock.waiting).toBe(0);
  });

  it('tells the target how much of its log is kept: what its namespace allows as it begins', async () => {
    const told: number[] = [];
    const answer = async ({ maxLogBytes }: DeliveryContext): Promise<DeliveryResult> => {
      told.push(maxLogBytes);
      return succeeded;
    };
    await runOf({ answer }).ended();
    expect(told).toEqual([job.key.namespace.length]);
  });

  it('tells the target how long it may take', async () => {
    const told: number[] = [];
    const answer = async ({ timeoutMs }: DeliveryContext): Promise<DeliveryResult> => {
      told.push(timeoutMs);
      return succeeded;
    };
    await runOf({ answer }).run.run();
    expect(told).toEqual([5_000]);
  });

  it.each([
    [1, 1_000],
    [2, undefined],
  ])('that fails as number %i of 2 is followed after %s ms', async (attempt, retryAfterMs) => {
    const { ended } = runOf({ answer: async () => failed, attempt: { attempt } });
    expect(await ended()).toMatchObject({ outcome: 'FAILED', reason: 'TARGET_ERROR', retryAfterMs });
  });

  it('fails in neutral words when the target client throws', async () => {
    const { ended } = runOf({ answer: () => Promise.reject(new Error('password=hunter2')) });
    expect(await ended()).toMatchObject({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message: 'the delivery failed inside Carillon',
      retryAfterMs: 1_000,
    });
  });

  it('is aborted when its time is up', async () => {
    const { ended, clock } = runOf({ answer: untilAborted });
    const end = ended();
    await clock.advance(5_000);
    expect(await end).toMatchObject({
      outcome: 'FAILED',
      reason: 'ATTEMPT_TIMEOUT',
      message: 'the attempt took longer than 5000 ms',
      retryAfterMs: 1_000,
    });
  });

  it.each<[AbortCause, object | undefined]>([
    ['cancel', { outcome: 'CANCELED', reason: 'CANCEL_REQUESTED' }],
    ['stop', { outcome: 'FAILED', reason: 'WORKER_LOST', retryAfterMs: 0 }],
    ['lost', undefined],
  ])('that is aborted by %s ends as %o', async (cause, expected) => {
    const { run, ended } = runOf({ answer: untilAborted });
    const end = ended();
    run.abort(cause);
    run.abort('timeout');
    const written = await end;
    if (expected === undefined) expect(written).toBeUndefined();
    else expect(written).toMatchObject(expected);
  });

  it('that succeeds although it is being aborted has succeeded', async () => {
    const { run, ended } = runOf({ answer: (context) => untilAborted(context).then(() => succeeded) });
    const end = ended();
    run.abort('cancel');
    expect(await end).toMatchObject({ outcome: 'SUCCEEDED' });
  });

  it('is delivered with its token', async () => {
    const { ended, delivered } = runOf({ answer: async () => succeeded });
    await ended();
    expect(delivered).toMatchObject([{ attemptToken: 'token of 7/1' }]);
  });

  it('that its callee accepts is handed over, with the time that it has and what it has logged', async () => {
    const { run, clock } = runOf({ answer: async () => accepted });
    expect(await run.run()).toEqual({
      handOver: {
        executionId: 7,
        attempt: 1,
        timeoutMs: 5_000,
        heartbeatTimeoutMs: 2_000,
        loggedBytes: 70,
      },
    });
    expect(clock.waiting).toBe(0);
  });

  it.each<[AbortCause, object]>([
    ['cancel', { handOver: { executionId: 7 } }],
    ['stop', { handOver: { executionId: 7 } }],
    ['timeout', { end: { outcome: 'FAILED', reason: 'ATTEMPT_TIMEOUT', retryAfterMs: 1_000 } }],
  ])('that its callee accepts while %s aborts it gives %o', async (cause, expected) => {
    const { run } = runOf({ answer: (context) => untilAborted(context).then(() => accepted) });
    const result = run.run();
    run.abort(cause);
    expect(await result).toMatchObject(expected);
  });

  it('that its callee accepts when it has been lost is left to whoever has it', async () => {
    const { run } = runOf({ answer: (context) => untilAborted(context).then(() => accepted) });
    const result = run.run();
    run.abort('lost');
    expect(await result).toEqual({});
  });

  it("is not this instance's any more when its log lines are refused", async () => {
    const { ended, refuseLog } = runOf({ answer: untilAborted });
    const end = ended();
    await settle();
    refuseLog();
    expect(await end).toBeUndefined();
  });

  it.each<[string, Partial<Setup>, object | undefined]>([
    ['a cancel was asked for before', { attempt: { cancelRequested: true } }, { outcome: 'CANCELED' }],
    ["the instance's lease may be over", { isAlive: false }, undefined],
  ])('is not delivered when %s', async (_, setup, expected) => {
    const { ended, delivered } = runOf({ answer: async () => succeeded, ...setup });
    const written = await ended();
    expect(delivered).toEqual([]);
    if (expected === undefined) expect(written).toBeUndefined();
    else expect(written).toMatchObject(expected);
  });

  it('that a worker may run already is delivered also when a cancel was asked for, so that the worker hears of it', async () => {
    const reasons: unknown[] = [];
    const answer = async ({ signal }: DeliveryContext): Promise<DeliveryResult> => {
      reasons.push(signal.reason);
      return failed;
    };
    const attempt = { cancelRequested: true, workerId: 'w', heldMs: 20 };
    expect(await runOf({ answer, attempt }).ended()).toMatchObject({ outcome: 'CANCELED' });
    expect(await runOf({ answer, attempt: { ...attempt, heldMs: 0 } }).ended()).toMatchObject({
      outcome: 'CANCELED',
    });
    expect(reasons).toEqual(['cancel']);
  });

  it('whose time was over before it was taken over has timed out, whatever its worker says, and is repeated', async () => {
    const answer = async (): Promise<DeliveryResult> => ({ ...failed, retryable: false });
    const attempt = { workerId: 'w', heldMs: 5_001 };
    expect(await runOf({ answer, attempt }).ended()).toMatchObject({
      outcome: 'FAILED',
      reason: 'ATTEMPT_TIMEOUT',
      retryAfterMs: 1_000,
    });
  });
});
