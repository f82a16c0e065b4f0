import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { CalendarCache } from '../../src/engine/calendar-cache.ts';
import type { ScheduleDraft } from '../../src/engine/operations.ts';
import { type PreviewSubject, previewFireTimes } from '../../src/engine/preview.ts';
import { calendarOf } from '../domain/schedule/calendars.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
const minute = 60_000;

const cron = (expression: string, more: Partial<Schedule> = {}): Schedule => ({
  name: '0',
  repeatCount: 0,
  spec: {
    kind: 'cron',
    expression,
    dialect: 'UNIX',
    timeZone: 'Europe/Berlin',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'BOTH',
  },
  ...more,
});

const preview = (subject: PreviewSubject, from?: string, count = 3) =>
  previewFireTimes({ store: stored.store, calendars: new CalendarCache(stored.store) }, subject, {
    from: from === undefined ? undefined : new Date(from),
    count,
  });

/** Fire times in short: local time and note. */
const short = async (...parameters: Parameters<typeof preview>) =>
  (await preview(...parameters)).fireTimes.map(({ localTime, note }) =>
    [localTime, note].filter(Boolean).join(' | '),
  );

describe('the notes of a preview', () => {
  it('tell of a gap', async () => {
    const schedules = [cron('30 2 * * *')];
    expect(await short({ schedules }, '2027-03-27T12:00:00Z', 2)).toEqual([
      '2027-03-28T03:00:00+02:00 | moved to the end of the gap 02:00 to 03:00, clocks go forward',
      '2027-03-29T02:30:00+02:00',
    ]);
  });

  it('tell of a local time that comes twice', async () => {
    const schedules = [cron('30 2 * * *')];
    expect(await short({ schedules }, '2027-10-30T12:00:00Z', 2)).toEqual([
      '2027-10-31T02:30:00+02:00 | the first of two such local times, clocks go back',
      '2027-10-31T02:30:00+01:00 | the second of two such local times, clocks go back',
    ]);
  });

  it('tell what a calendar excludes, and which', async () => {
    await stored.store.transaction((tx) =>
      stored.store.calendars.put(tx, calendarOf({ name: 'xmas', dates: ['2026-12-25'] })),
    );
    const schedules = [cron('0 9 * * *', { calendars: ['xmas'], repeatCount: 2 })];
    expect(await short({ schedules }, '2026-12-24T00:00:00Z')).toEqual([
      '2026-12-24T09:00:00+01:00',
      '2026-12-25T09:00:00+01:00 | excluded by calendar "xmas"',
      '2026-12-26T09:00:00+01:00',
    ]);
  });

  it('tell how far jitter moved a fire time, as the job will fire', async () => {
    const schedules = [cron('0 9 * * *', { jitterMs: 10 * minute })];
    const id = await stored.addJob({ schedules });
    const [first] = (await preview({ job: { id } }, '2026-12-01T12:00:00Z')).fireTimes;
    const movedMs = first!.fireAt.getTime() - Date.parse('2026-12-02T08:00:00Z');
    expect(movedMs).toBeGreaterThan(0);
    expect(movedMs).toBeLessThan(10 * minute);
    expect(first!.note).toBe(`moved ${movedMs / 1000} s later by jitter`);
  });

  it('tell what a pause holds, up to its end', async () => {
    // A day apart, so that the present passes none of them between the two looks.
    const id = await stored.addJob({ schedules: [cron('0 4 * * *')] });
    const untilAt = (await preview({ job: { id } })).fireTimes[1]!.fireAt;
    await stored.store.transaction((tx) =>
      stored.store.pauses.insert(tx, [id], { id: 'p', actor: 'a', reason: 'r', untilAt }),
    );
    expect((await preview({ job: { id } })).fireTimes.map(({ note }) => note)).toEqual([
      'held by a pause',
      '',
      '',
    ]);
  });
});

describe('a preview', () => {
  it('of a stored job goes on from the runs that were made; of an earlier time it begins there', async () => {
    const anchorMs = Date.parse('2026-01-01T00:00:00Z');
    const schedules: Schedule[] = [
      {
        name: 'a',
        repeatCount: 3,
        spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_RATE', anchorMs },
      },
    ];
    const id = await stored.addJob({ schedules, progress: [{ runs: 2 }] });
    expect(await short({ job: { id } }, undefined, 9)).toHaveLength(1);
    expect(await short({ job: { id } }, '2026-02-01T00:00:00Z', 9)).toHaveLength(3);
  });

  it('of schedules under the key of a stored job is that of an edit: its spread, its anchors, its runs', async () => {
    // So long that the present passes no fire time between the two looks.
    const every = { kind: 'interval', everyMs: 100_000 * minute, mode: 'FIXED_RATE' } as const;
    const anchored: Schedule = { name: 'a', repeatCount: 3, spec: { ...every, anchorMs: 7_000 } };
    const id = await stored.addJob({ schedules: [anchored], progress: [{ runs: 2 }] });
    const { key } = (await stored.store.jobs.find(stored.store.db, { id }))!;
    const times = async (subject: PreviewSubject) =>
      (await preview(subject, undefined, 9)).fireTimes.map(({ fireAt }) => fireAt.getTime());
    const unanchored: ScheduleDraft = { name: 'a', repeatCount: 3, spec: every };
    expect(await times({ schedules: [unanchored], key })).toEqual(await times({ job: { id } }));

    const spread = [cron('H H * * *', { name: 'h', jitterMs: 10 * minute })];
    const expected = await stored.addJob({ schedules: spread });
    const of = (await stored.store.jobs.find(stored.store.db, { id: expected }))!;
    await stored.store.transaction((tx) =>
      stored.store.jobs.saveDefinition(
        tx,
        expected,
        { ...of, schedules: [cron('* * * * *')] },
        undefined,
        null,
      ),
    );
    const shown = await times({ schedules: spread, key: of.key });
    await stored.store.transaction((tx) =>
      stored.store.jobs.saveDefinition(tx, expected, { ...of, schedules: spread }, undefined, null),
    );
    expect(shown).toEqual(await times({ job: { id: expected } }));
    expect(shown).not.toEqual(await times({ schedules: spread, key: { ...of.key, name: 'nobody' } }));
  });

  it('shows a fixed delay as if executions took no time, and says so', async () => {
    const spec = { kind: 'interval', everyMs: minute, mode: 'FIXED_DELAY' } as const;
    const schedules: ScheduleDraft[] = [{ name: 'a', repeatCount: 0, spec: { ...spec, anchorMs: 0 } }];
    expect(await short({ schedules }, '2026-01-01T00:00:00Z', 2)).toEqual([
      '2026-01-01T00:01:00+00:00 | if executions took no time',
      '2026-01-01T00:02:00+00:00 | if executions took no time',
    ]);
  });

  it('says how many other jobs fire in the same second, and how to spread them', async () => {
    const schedules = [cron('17 4 * * *')];
    const next = (await preview({ schedules }, undefined, 1)).fireTimes[0]!.fireAt.getTime();
    const warnings = async () =>
      (await preview({ schedules })).warnings.filter((text) => text.includes('same second'));
    expect(await warnings()).toEqual([]);
    for (let n = 0; n < 2; n++) await stored.addJob({ schedules, nextFireMs: next });
    await stored.addJob({ schedules, nextFireMs: next + 1_000 });
    const at = new Date(next).toISOString().slice(0, 19);
    expect(await warnings()).toEqual([
      `schedule "0": 2 other jobs fire in the same second, ${at}Z; write "H 4 * * *" to spread them`,
    ]);
    const spread = await preview({ schedules: [cron('H 4 * * *')] });
    expect(spread.warnings.filter((text) => text.includes('same second'))).toEqual([]);
  });

  it('changes nothing', async () => {
    const id = await stored.addJob({ schedules: [cron('* * * * *')], nextFireMs: Date.now() - minute });
    const before = await stored.timerOf(id);
    await preview({ job: { id } });
    expect(await stored.timerOf(id)).toEqual(before);
    expect(await stored.ledgerOf(id)).toEqual([]);
  });
});
