/** What the leader does with attempts whose callees have not reported in time. */
import { describe, expect, it } from 'vitest';
import { type BegunAttempt, endReport, useStoredAttempts } from './stored-attempts.ts';

const attempts = useStoredAttempts();

/** An attempt that is with its callee and may take so long. */
async function accepted(
  more: Parameters<typeof attempts.handOver>[1] = {},
  maxAttempts = 1,
): Promise<BegunAttempt> {
  const retry = { maxAttempts, initialBackoffMs: 5_000, maxBackoffMs: 5_000, multiplier: 1, jitter: 0 };
  const attempt = await attempts.begin({ retry });
  await attempts.handOver(attempt, more);
  return attempt;
}

describe('an attempt that is with its callee', () => {
  it('and in time is left alone (I21)', async () => {
    const { desk, sweep, topics } = attempts.parts();
    const attempt = await accepted({ heartbeatTimeoutMs: 60_000 });
    await attempts.cancel(attempt);
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'RUNNING' });
    expect(topics).toEqual([]);
    await desk.complete(endReport(attempt, { state: 'CANCELED' }));
  });

  it('fails when its time is over, and the next attempt follows as the job says (I15)', async () => {
    const { sweep, topics, finished } = attempts.parts();
    const attempt = await accepted({ timeoutMs: 0 }, 2);
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'PENDING',
      reason: 'ATTEMPT_TIMEOUT',
      attempts: [
        { outcome: 'FAILED', reason: 'ATTEMPT_TIMEOUT', message: 'the attempt took longer than 0 ms' },
      ],
    });
    expect(await attempts.openRow(attempt)).toMatchObject({ holder: null, reportBy: null });
    expect(topics).toEqual(['feed', 'pending', 'retry']);
    expect(finished).toEqual([]);
    await attempts.cancel(attempt);
  });

  it('fails for good when its attempts are used up, and whoever waits for it is told', async () => {
    const { sweep, topics, finished } = attempts.parts();
    const attempt = await accepted({ timeoutMs: 0 });
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'FAILED', reason: 'ATTEMPT_TIMEOUT' });
    expect(topics).toEqual(['feed']);
    expect(finished).toEqual([attempt.jobId]);
  });

  it('fails when its callee was silent for too long', async () => {
    const { sweep } = attempts.parts();
    const attempt = await accepted({ heartbeatTimeoutMs: 1_000 });
    await attempts.expire(attempt, 'heartbeat_by');
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'FAILED',
      reason: 'HEARTBEAT_TIMEOUT',
      message: 'nothing was heard of the callee for 1000 ms',
    });
  });

  it('is canceled when its callee does not answer a cancel within the grace time, in the words of the cancel', async () => {
    const { sweep } = attempts.parts({ cancelGraceMs: 0 });
    const attempt = await accepted({}, 3);
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'RUNNING' });
    await attempts.cancel(attempt, 'too late');
    await sweep();
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'CANCELED',
      reason: 'CANCEL_REQUESTED',
      message: 'too late',
    });
  });

  it('is left to the report on it that is under way at this moment (I16)', async () => {
    const { desk, sweep } = attempts.parts();
    const attempt = await accepted({ timeoutMs: 0 });
    const other = await attempts.store.connect('a report');
    try {
      await other.query('begin');
      await other.query('select 1 from carillon.open_execution where execution_id = $1 for update', [
        attempt.executionId,
      ]);
      await sweep();
      expect(await attempts.ledger(attempt)).toMatchObject({ state: 'RUNNING' });
      await other.query('rollback');
    } finally {
      await other.end();
    }
    await desk.complete(endReport(attempt));
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'SUCCEEDED' });
  });

  it('is nothing that an instance ends which leads no more (I7)', async () => {
    const { desk, sweep } = attempts.parts();
    const attempt = await accepted({ timeoutMs: 0 });
    await sweep(2);
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'RUNNING' });
    await desk.complete(endReport(attempt));
  });

  it('and others, many at once, are all ended in one pass', async () => {
    const { sweep } = attempts.parts();
    const all: BegunAttempt[] = [];
    for (let n = 0; n < 12; n++) all.push(await accepted({ timeoutMs: n % 2 === 0 ? 0 : 300_000 }));
    await sweep();
    const states = await Promise.all(all.map(async (attempt) => (await attempts.ledger(attempt)).state));
    expect(states).toEqual(all.map((_, n) => (n % 2 === 0 ? 'FAILED' : 'RUNNING')));
    const { desk } = attempts.parts();
    await Promise.all(all.filter((_, n) => n % 2 === 1).map((attempt) => desk.complete(endReport(attempt))));
  });
});

describe('the open row', () => {
  it('has the time of a report exactly while the attempt is with its callee', async () => {
    const attempt = await attempts.begin();
    const broken = (set: string) =>
      attempts.rows(`update carillon.open_execution set ${set} where execution_id = $1`, [
        attempt.executionId,
      ]);
    const rule = 'open_execution_reports_iff_with_callee';
    await expect(broken('instance_id = 0')).rejects.toThrow(rule);
    await expect(broken('report_by = clock_timestamp()')).rejects.toThrow(rule);
    await attempts.endByInstance(attempt, {});
  });
});
