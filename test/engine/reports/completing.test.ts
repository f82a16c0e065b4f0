/** How callees end their attempts, and what else may end them at the same moment. */
import { describe, expect, it } from 'vitest';
import { endReport, useStoredAttempts } from './stored-attempts.ts';

const attempts = useStoredAttempts();
const ended = { reason: 'ATTEMPT_ENDED' };

describe('Complete', () => {
  it('ends the attempt of a callee, and tells whoever waits for it', async () => {
    const { desk, topics, finished } = attempts.parts();
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'RUNNING',
      attempts: [{ attempt: 1, outcome: 'RUNNING', instanceId: '' }],
    });
    const report = endReport(attempt, { result: { rows: 3 }, message: 'done' });
    expect(await desk.complete(report)).toEqual({ alreadyEnded: false });
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'SUCCEEDED',
      message: 'done',
      result: { rows: 3 },
      attempts: [{ attempt: 1, outcome: 'SUCCEEDED', instanceId: '' }],
    });
    expect(topics).toEqual(['feed']);
    expect(finished).toEqual([attempt.jobId]);
  });

  it.each([
    [{ state: 'FAILED' }, 60_000],
    [{ state: 'FAILED', retryAfterMs: 90_000 }, 90_000],
  ] as const)('with %o lets the execution wait for its next attempt', async (more, waitMs) => {
    const { desk, topics, finished } = attempts.parts();
    const attempt = await attempts.begin();
    await attempts.handOver(attempt, { heartbeatTimeoutMs: 5_000 });
    await desk.complete(endReport(attempt, { message: 'full', ...more }));
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'PENDING',
      attempts: [{ outcome: 'FAILED', reason: 'TARGET_ERROR', message: 'full' }],
    });
    expect(await attempts.openRow(attempt)).toMatchObject({
      holder: null,
      reportBy: null,
      heartbeatBy: null,
    });
    const [due] = await attempts.rows<{ waitMs: number }>(
      `select (extract(epoch from o.due_at - a.finished_at) * 1000)::float8 as "waitMs"
         from carillon.open_execution o join carillon.attempt a using (execution_id) where execution_id = $1`,
      [attempt.executionId],
    );
    expect(Math.round(due!.waitMs / 1_000) * 1_000).toBe(waitMs);
    expect(topics).toEqual(['feed', 'pending', 'retry']);
    expect(finished).toEqual([]);
  });

  it.each([
    [{ state: 'FAILED', retryable: false, message: 'no' }, 'no'],
    [{ state: 'CANCELED' }, 'the callee canceled it'],
  ] as const)('with %o fails the execution, and nothing is tried again', async (more, message) => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    await desk.complete(endReport(attempt, more));
    const expected = { state: 'FAILED', reason: 'TARGET_ERROR', message };
    expect(await attempts.ledger(attempt)).toMatchObject(expected);
    expect(await desk.complete(endReport(attempt, more))).toEqual({ alreadyEnded: true });
  });

  it('that comes before the 202 has been read counts; what the instance does then changes nothing (I16)', async () => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin();
    expect(await desk.complete(endReport(attempt))).toEqual({ alreadyEnded: false });
    expect(await attempts.handOver(attempt)).toBe(false);
    expect(await attempts.endByInstance(attempt, { outcome: 'FAILED', reason: 'TARGET_ERROR' })).toBe(false);
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'SUCCEEDED', attempts: [{ attempt: 1 }] });
  });

  it('that fails before the 202 has been read leaves the next attempt to whoever claims it (I12)', async () => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin();
    await desk.complete(endReport(attempt, { state: 'FAILED' }));
    expect(await attempts.handOver(attempt)).toBe(false);
    await attempts.rows('update carillon.open_execution set due_at = null where execution_id = $1', [
      attempt.executionId,
    ]);
    const next = await attempts.claim();
    expect(next).toMatchObject({ executionId: attempt.executionId, attempt: 2 });
    expect(await attempts.handOver(attempt)).toBe(false);
    expect(await attempts.openRow(next)).toMatchObject({ holder: attempts.instanceId, attempt: 2 });
    await attempts.endByInstance(next, {});
  });

  it('that is repeated changes nothing and says so; one that says something else is refused (I16)', async () => {
    const { desk, topics } = attempts.parts();
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    await desk.complete(endReport(attempt, { message: 'first' }));
    topics.length = 0;
    expect(await desk.complete(endReport(attempt, { message: 'second' }))).toEqual({ alreadyEnded: true });
    await expect(desk.complete(endReport(attempt, { state: 'FAILED' }))).rejects.toMatchObject(ended);
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'SUCCEEDED', message: 'first' });
    expect(topics).toEqual([]);
  });

  it('that comes many times at once, through two instances, ends the attempt once (I16)', async () => {
    const both = [attempts.parts(), attempts.parts()];
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => both[n % 2]!.desk.complete(endReport(attempt))),
    );
    expect(answers.filter(({ alreadyEnded }) => !alreadyEnded)).toHaveLength(1);
    expect((await attempts.ledger(attempt)).attempts).toHaveLength(1);
  });

  it('that is repeated when the next attempt runs leaves that alone (I12)', async () => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin({ retry: { ...retryAtOnce } });
    await attempts.handOver(attempt);
    await desk.complete(endReport(attempt, { state: 'FAILED' }));
    const next = await attempts.claim();
    await attempts.handOver(next);
    expect(await desk.complete(endReport(attempt, { state: 'FAILED' }))).toEqual({ alreadyEnded: true });
    await expect(desk.complete(endReport(attempt))).rejects.toMatchObject(ended);
    await expect(desk.heartbeat(attempt.token)).rejects.toMatchObject(ended);
    // Both in one batch: the newer attempt's counts.
    const [late, own] = await Promise.allSettled([
      desk.complete(endReport(attempt)),
      desk.complete(endReport(next)),
    ]);
    expect(late).toMatchObject({ status: 'rejected', reason: ended });
    expect(own).toEqual({ status: 'fulfilled', value: { alreadyEnded: false } });
    expect(await attempts.ledger(next)).toMatchObject({
      state: 'SUCCEEDED',
      attempts: [{ outcome: 'FAILED' }, { outcome: 'SUCCEEDED' }],
    });
  });

  it.each(['report_by', 'heartbeat_by'] as const)(
    'that comes when %s is over is refused, and nothing is changed (I12)',
    async (column) => {
      const { desk, sweep } = attempts.parts();
      const attempt = await attempts.begin({ retry: { ...retryAtOnce, maxAttempts: 1 } });
      await attempts.handOver(attempt, { heartbeatTimeoutMs: 5_000 });
      await attempts.expire(attempt, column);
      await sweep();
      const before = await attempts.ledger(attempt);
      for (const state of ['SUCCEEDED', 'FAILED', 'CANCELED'] as const)
        await expect(desk.complete(endReport(attempt, { state }))).rejects.toMatchObject(ended);
      expect(await attempts.ledger(attempt)).toEqual(before);
    },
  );

  it('and the end of its time at one moment: one of them stands, and the callee is told which (I16)', async () => {
    const { desk, sweep } = attempts.parts();
    for (let n = 0; n < 20; n++) {
      const attempt = await attempts.begin({ retry: { ...retryAtOnce, maxAttempts: 1 } });
      await attempts.handOver(attempt);
      await attempts.expire(attempt, 'report_by');
      const [answer] = await Promise.allSettled([desk.complete(endReport(attempt)), sweep()]);
      const { state, attempts: rows } = await attempts.ledger(attempt);
      expect(rows).toHaveLength(1);
      expect(state).toBe(answer.status === 'fulfilled' ? 'SUCCEEDED' : 'FAILED');
    }
  });

  it('when its instance was lost before the hand-over counts until the rescue, and is refused behind it', async () => {
    const { desk } = attempts.parts();
    const { store } = attempts;
    const strandedOf = () =>
      store.transaction((tx) => store.attempts.lockStranded(tx, [attempts.instanceId], 10));
    const early = await attempts.begin();
    expect(await desk.complete(endReport(early))).toEqual({ alreadyEnded: false });
    expect(await strandedOf()).toEqual([]);

    const late = await attempts.begin();
    expect(await strandedOf()).toMatchObject([{ executionId: late.executionId }]);
    await attempts.endByInstance(late, { outcome: 'FAILED', reason: 'WORKER_LOST' });
    await expect(desk.complete(endReport(late))).rejects.toMatchObject(ended);
    await expect(desk.complete(endReport(late, { state: 'FAILED' }))).rejects.toMatchObject(ended);
  });

  it('of an attempt that is with its callee is nothing that a lost instance changes', async () => {
    const { store } = attempts;
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    expect(
      await store.transaction((tx) => store.attempts.lockStranded(tx, [attempts.instanceId], 10)),
    ).toEqual([]);
    expect(await store.attempts.listHeld(store.db, attempts.instanceId, [])).toEqual([]);
    expect(await attempts.endByInstance(attempt, {})).toBe(false);
    expect(await attempts.openRow(attempt)).toMatchObject({ holder: 0, attempt: 1 });
    await attempts.parts().desk.complete(endReport(attempt));
  });
});

describe('a cancel of an attempt that is with its callee', () => {
  it('is heard with the next call, also when it came before the hand-over', async () => {
    const { desk, clock } = attempts.parts();
    const attempt = await attempts.begin();
    expect(await attempts.cancel(attempt)).toMatchObject([{ marked: true }]);
    expect(await desk.heartbeat(attempt.token)).toMatchObject({ isCancelRequested: true });
    expect(await attempts.handOver(attempt)).toBe(true);
    expect(await desk.heartbeat(attempt.token)).toMatchObject({ isCancelRequested: true });
    const lines = [{ level: 'INFO', message: 'stopping', at: clock.now() }] as const;
    expect(await desk.appendLogs({ token: attempt.token, lines })).toMatchObject({ isCancelRequested: true });
    expect(await attempts.ledger(attempt)).toMatchObject({ state: 'RUNNING' });
    await desk.complete(endReport(attempt, { state: 'CANCELED' }));
    expect(await attempts.ledger(attempt)).toMatchObject({
      state: 'CANCELED',
      reason: 'CANCEL_REQUESTED',
      message: 'not needed',
    });
    expect(await desk.complete(endReport(attempt, { state: 'CANCELED' }))).toEqual({ alreadyEnded: true });
  });

  it('turns a failure into CANCELED, so that none follows; a success stands (I16)', async () => {
    const { desk } = attempts.parts();
    for (const [state, expected] of [
      ['FAILED', 'CANCELED'],
      ['SUCCEEDED', 'SUCCEEDED'],
    ] as const) {
      const attempt = await attempts.begin();
      await attempts.handOver(attempt);
      await attempts.cancel(attempt);
      await desk.complete(endReport(attempt, { state }));
      expect(await attempts.ledger(attempt)).toMatchObject({ state: expected });
      expect(await desk.complete(endReport(attempt, { state }))).toEqual({ alreadyEnded: true });
    }
  });
});

describe('a token', () => {
  it('that is wrong is refused in the same words, whatever is wrong with it', async () => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin();
    await attempts.handOver(attempt);
    const bytes = Buffer.from(attempt.token.slice('cat_'.length), 'base64url');
    const changed = (at: number): string => {
      const other = Buffer.from(bytes);
      other[at]! ^= 1;
      return `cat_${other.toString('base64url')}`;
    };
    // Malformed, of no execution, of another attempt, forged.
    const wrong = ['', 'x', changed(0), changed(8), changed(12), changed(44)];
    const refusals = await Promise.all(
      wrong.flatMap((token) => [
        desk.heartbeat(token).catch((error: unknown) => error),
        desk.complete(endReport({ ...attempt, token })).catch((error: unknown) => error),
        desk.appendLogs({ token, lines: [{ level: 'INFO', message: 'x' }] }).catch((error: unknown) => error),
      ]),
    );
    const told = refusals.map((error) => {
      const { name, reason, message, details } = error as { [key: string]: unknown };
      return JSON.stringify({ name, reason, message, details });
    });
    expect(new Set(told).size).toBe(1);
    expect(refusals[0]).toMatchObject({ reason: 'UNAUTHENTICATED' });
    expect(await attempts.openRow(attempt)).toMatchObject({ holder: 0, lines: 0 });
    await desk.complete(endReport(attempt));
  });

  it('of one database is nothing to another: keys differ', async () => {
    const key = await attempts.store.reports.readTokenKey(attempts.store.db);
    expect(key).toHaveLength(32);
    expect(new Set(key).size).toBeGreaterThan(10);
  });
});

const retryAtOnce = { maxAttempts: 3, initialBackoffMs: 0, maxBackoffMs: 0, multiplier: 1, jitter: 0 };
