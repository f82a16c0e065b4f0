/** Signs of life of attempts that are with their callees. */
import { describe, expect, it } from 'vitest';
import { endReport, linesOf, useStoredAttempts } from './stored-attempts.ts';

const attempts = useStoredAttempts();
const { accepted } = attempts;

describe('a heartbeat', () => {
  it('says when the time is over, also before the 202 has been read', async () => {
    const { desk } = attempts.parts();
    const attempt = await attempts.begin({ attemptTimeoutMs: 50_000 });
    const { startedAt } = (await attempts.ledger(attempt)).attempts![0]!;
    const reportBy = new Date(startedAt.getTime() + 50_000);
    expect(await desk.heartbeat(attempt.token)).toEqual({ isCancelRequested: false, reportBy });
    await attempts.handOver(attempt, { timeoutMs: 50_000 });
    expect(await desk.heartbeat(attempt.token)).toEqual({ isCancelRequested: false, reportBy });
    await desk.complete(endReport(attempt));
  });

  it.each(['a heartbeat', 'lines'])(
    'and the time that a callee may be silent: %s lets it begin again',
    async (what) => {
      const { desk } = attempts.parts();
      const attempt = await accepted({ heartbeatTimeoutMs: 60_000 });
      await attempts.expire(attempt, 'heartbeat_by');
      const before = (await attempts.openRow(attempt))!;
      if (what === 'lines') await desk.appendLogs({ token: attempt.token, lines: linesOf('a') });
      else await desk.heartbeat(attempt.token);
      const after = (await attempts.openRow(attempt))!;
      expect(after.heartbeatBy!.getTime() - before.heartbeatBy!.getTime()).toBeGreaterThanOrEqual(60_000);
      expect(after.reportBy).toEqual(before.reportBy);
      await desk.complete(endReport(attempt));
    },
  );

  it('of an attempt that is over is refused', async () => {
    const { desk } = attempts.parts();
    const attempt = await accepted();
    await desk.complete(endReport(attempt));
    await expect(desk.heartbeat(attempt.token)).rejects.toMatchObject({ reason: 'ATTEMPT_ENDED' });
  });
});
