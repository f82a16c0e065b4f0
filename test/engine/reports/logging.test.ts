/** The lines that callees report. */
import { describe, expect, it } from 'vitest';
import { usedUpBytes } from '../../../src/engine/targets/log-allowance.ts';
import type { ManualClock } from '../../platform/manual-clock.ts';
import { awaitThat } from '../../support/await-that.ts';
import { endReport, linesOf, useStoredAttempts } from './stored-attempts.ts';

const attempts = useStoredAttempts();
const { accepted } = attempts;
const ended = { reason: 'ATTEMPT_ENDED' };

/** Lets a call that waits for the hand-over look again, so many times. */
async function passLooks(clock: ManualClock, looks: number): Promise<void> {
  for (let n = 0; n < looks; n++) {
    await awaitThat('the call waits', () => clock.waiting > 0);
    await clock.advance(100);
  }
}

describe('lines that a callee reports', () => {
  it('stand behind those of its answer, in their order, and watchers are told (I17)', async () => {
    const { desk, topics } = attempts.parts();
    const attempt = await attempts.begin();
    const { executionId } = attempt;
    const { store } = attempts;
    const first = { executionId, attempt: 1, seq: 1, at: new Date(0), level: 'INFO', message: 'a' } as const;
    await store.logs.append(store.db, attempts.instanceId, [first]);
    await attempts.handOver(attempt);
    const lines = [
      { level: 'WARN', message: 'b', data: { n: 1 }, at: new Date('2026-01-01T00:00:00Z') },
      { level: 'INFO', message: 'c' },
    ] as const;
    expect(await desk.appendLogs({ token: attempt.token, lines })).toEqual({
      stored: 2,
      repeated: 0,
      dropped: 0,
      nextOffset: 2,
      isCancelRequested: false,
    });
    const stored = await store.logs.list(store.db, {
      executionId,
      afterSeq: 1,
      beforeSeq: null,
      minLevel: 'DEBUG',
      attempt: 1,
      newestFirst: false,
      limit: 10,
    });
    expect(stored).toMatchObject([
      { seq: 2, level: 'WARN', message: 'b', data: { n: 1 }, at: new Date('2026-01-01T00:00:00Z') },
      { seq: 3, level: 'INFO', message: 'c', at: new Date(0) },
    ]);
    expect(topics).toEqual(['feed']);
    const [fed] = await attempts.rows(
      'select execution_id, event, first_seq, last_seq from carillon.feed order by xid desc, place desc limit 1',
    );
    expect(fed).toEqual({ execution_id: [executionId], event: [0], first_seq: [2], last_seq: [3] });
    await desk.complete(endReport(attempt));
  });

  it('that come in many calls at once get every seq once (I17)', async () => {
    const { desk } = attempts.parts();
    const attempt = await accepted();
    await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        desk.appendLogs({ token: attempt.token, lines: linesOf(`${n} a`, `${n} b`, `${n} c`) }),
      ),
    );
    const stored = await attempts.linesOf(attempt);
    expect(stored.map(({ seq }) => seq)).toEqual(Array.from({ length: 36 }, (_, i) => i + 1));
    for (let i = 0; i < 36; i += 3) {
      const [n] = stored[i]!.message.split(' ');
      expect(stored.slice(i, i + 3).map(({ message }) => message)).toEqual([`${n} a`, `${n} b`, `${n} c`]);
    }
    await desk.complete(endReport(attempt));
  });

  it('that are sent again with their offset are stored once; an offset beyond what has arrived is refused', async () => {
    const { desk } = attempts.parts();
    const attempt = await accepted();
    const { token } = attempt;
    const send = (offset: number | undefined, ...messages: string[]) =>
      desk.appendLogs({ token, offset, lines: linesOf(...messages) });
    expect(await send(0, 'a', 'b')).toMatchObject({ stored: 2, nextOffset: 2 });
    expect(await send(0, 'a', 'b')).toMatchObject({ stored: 0, repeated: 2, nextOffset: 2 });
    expect(await send(1, 'b', 'c')).toMatchObject({ stored: 1, repeated: 1, nextOffset: 3 });
    await expect(send(4, 'e')).rejects.toMatchObject({
      reason: 'LOG_OFFSET_TOO_HIGH',
      details: { metadata: { offset: '4', expected_offset: '3' } },
    });
    expect(await send(undefined, 'c')).toMatchObject({ stored: 1, nextOffset: 4 });
    expect((await attempts.linesOf(attempt)).map(({ message }) => message)).toEqual(['a', 'b', 'c', 'c']);
    await desk.complete(endReport(attempt));
  });

  it('count from 0 again in the next attempt', async () => {
    const { desk } = attempts.parts();
    const retry = { maxAttempts: 2, initialBackoffMs: 0, maxBackoffMs: 0, multiplier: 1, jitter: 0 };
    const attempt = await attempts.begin({ retry });
    await attempts.handOver(attempt);
    await desk.appendLogs({ token: attempt.token, lines: linesOf('a') });
    await desk.complete(endReport(attempt, { state: 'FAILED' }));
    const next = await attempts.claim();
    await attempts.handOver(next);
    expect(await desk.appendLogs({ token: next.token, offset: 0, lines: linesOf('b') })).toMatchObject({
      nextOffset: 1,
    });
    expect(await attempts.linesOf(attempt)).toMatchObject([
      { seq: 1, attempt: 1, message: 'a' },
      { seq: 2, attempt: 2, message: 'b' },
    ]);
    await desk.complete(endReport(next));
  });

  it('beyond what the attempt may log are dropped and counted; one line says so, once', async () => {
    const { desk } = attempts.parts({ maxLogBytes: 300 });
    // Its answer has used up 100 bytes.
    const attempt = await accepted({ loggedBytes: 100 });
    const { token } = attempt;
    const send = (...messages: string[]) => desk.appendLogs({ token, lines: linesOf(...messages) });
    expect(await send('a'.repeat(36), 'b'.repeat(36))).toMatchObject({ stored: 2, dropped: 0 });
    expect(await send('c', 'd', 'e')).toMatchObject({ stored: 0, dropped: 3, nextOffset: 5 });
    expect(await send('f')).toMatchObject({ stored: 0, dropped: 1, nextOffset: 6 });
    const stored = await attempts.linesOf(attempt);
    expect(stored.map(({ message }) => message[0])).toEqual(['a', 'b', 'l']);
    expect(stored.at(-1)).toMatchObject({ seq: 3, message: 'log limit reached' });
    await desk.complete(endReport(attempt));
  });

  it('beyond a limit that was lowered meanwhile are dropped, and one line says so; raised, it admits no more', async () => {
    const attempt = await accepted({ loggedBytes: 500 });
    const sendUnder = (maxLogBytes: number) =>
      attempts.parts({ maxLogBytes }).desk.appendLogs({ token: attempt.token, lines: linesOf('a') });
    expect(await sendUnder(300)).toMatchObject({ stored: 0, dropped: 1 });
    expect(await sendUnder(100_000)).toMatchObject({ stored: 0, dropped: 1 });
    expect(await attempts.linesOf(attempt)).toMatchObject([{ seq: 1, message: 'log limit reached' }]);
    await attempts.parts().desk.complete(endReport(attempt));
  });

  it('behind an answer that used up the log are dropped without another word', async () => {
    const { desk } = attempts.parts({ maxLogBytes: 300 });
    const attempt = await accepted({ loggedBytes: usedUpBytes });
    expect(await desk.appendLogs({ token: attempt.token, lines: linesOf('a') })).toMatchObject({
      stored: 0,
      dropped: 1,
      nextOffset: 1,
    });
    expect(await attempts.linesOf(attempt)).toEqual([]);
    await desk.complete(endReport(attempt));
  });

  it('of more than 65,536 bytes are cut and say so', async () => {
    const { desk } = attempts.parts();
    const attempt = await accepted();
    await desk.appendLogs({ token: attempt.token, lines: linesOf('x'.repeat(70_000)) });
    expect((await attempts.linesOf(attempt))[0]!.message).toBe(`${'x'.repeat(65_536)}… (cut, 70000 bytes)`);
    await desk.complete(endReport(attempt));
  });

  it('that come before the 202 has been read wait for it, and are stored then (I17)', async () => {
    const { desk, clock } = attempts.parts();
    const attempt = await attempts.begin();
    const stored = desk.appendLogs({ token: attempt.token, lines: linesOf('early') });
    await passLooks(clock, 3);
    // Else its look may still be under way, and find the attempt handed over.
    await awaitThat('the call waits', () => clock.waiting > 0);
    await attempts.handOver(attempt);
    await passLooks(clock, 1);
    expect(await stored).toMatchObject({ stored: 1 });
    await desk.complete(endReport(attempt));
  });

  it('that come where no 202 follows are refused after two seconds, and none is stored', async () => {
    const { desk, clock } = attempts.parts();
    const attempt = await attempts.begin();
    const refused = expect(
      desk.appendLogs({ token: attempt.token, lines: linesOf('early') }),
    ).rejects.toMatchObject({
      reason: 'ATTEMPT_NOT_ACCEPTED',
      message: expect.stringContaining('answer 202 first'),
      details: { retryAfterMs: 1_000 },
    });
    await passLooks(clock, 20);
    await refused;
    expect(await attempts.linesOf(attempt)).toEqual([]);
    await attempts.endByInstance(attempt, {});
  });

  it('that come when the attempt is over are refused (I12)', async () => {
    const { desk } = attempts.parts();
    const attempt = await accepted();
    await desk.complete(endReport(attempt));
    const late = desk.appendLogs({ token: attempt.token, lines: linesOf('late') });
    await expect(late).rejects.toMatchObject(ended);
    expect(await attempts.linesOf(attempt)).toEqual([]);
  });

  it('meet the end of the attempt: they are stored before it or not at all (I18)', async () => {
    const { desk } = attempts.parts();
    for (let n = 0; n < 10; n++) {
      const attempt = await accepted();
      const [lines] = await Promise.allSettled([
        desk.appendLogs({ token: attempt.token, lines: linesOf('last') }),
        desk.complete(endReport(attempt)),
      ]);
      expect(await attempts.linesOf(attempt)).toHaveLength(lines.status === 'fulfilled' ? 1 : 0);
      const fed = await attempts.rows<{ events: number[] }>(
        `select array_agg(u.event order by f.fed_at) as events
           from carillon.feed f cross join lateral unnest(f.execution_id, f.event) as u (id, event) where u.id = $1`,
        [attempt.executionId],
      );
      // Lines (0) never behind SUCCEEDED (3).
      expect(fed[0]!.events.at(-1)).toBe(3);
    }
  });
});
