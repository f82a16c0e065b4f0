import { describe, expect, it } from 'vitest';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import { firesAlike, timingFrom } from '../../src/engine/job-timing.ts';

const now = Date.parse('2026-11-21T12:00:00.250Z');
const second = 1_000;

const cron = (name: string, expression: string, more: Partial<Schedule> = {}): Schedule => ({
  name,
  repeatCount: 0,
  spec: {
    kind: 'cron',
    expression,
    dialect: 'UNIX',
    timeZone: 'UTC',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'FIRST',
  },
  ...more,
});

const once = (atMs: number, name = 'once'): Schedule => ({
  name,
  repeatCount: 0,
  spec: { kind: 'once', atMs },
});

/** A schedule as jsonb gives it back: the same members in another order. */
const stored = (schedule: Schedule): Schedule => ({
  ...schedule,
  spec: Object.fromEntries(Object.entries(schedule.spec).toReversed()) as unknown as Schedule['spec'],
});

const definitionOf = (schedules: readonly Schedule[]): JobDefinition => ({
  description: '',
  labels: {},
  schedules,
  target: { kind: 'http', url: 'http://127.0.0.1:9/', method: 'POST', headers: {}, successCodes: [] },
  parameters: {},
  priority: 0,
  overlap: 'SKIP',
  misfire: jobDefaults.misfire,
  retry: jobDefaults.retry,
  attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
  maxRunning: jobDefaults.maxRunning,
});

const timingOf = (schedules: readonly Schedule[], before?: Parameters<typeof timingFrom>[3]) => {
  const { timing, late } = timingFrom(compileTimetable(schedules, 1), definitionOf(schedules), now, before);
  return {
    next: timing.nextFireMs === null ? null : new Date(timing.nextFireMs).toISOString(),
    progress: timing.progress,
    late: late?.places ?? [],
  };
};

describe('whether an edit touches timing', () => {
  const base = cron('a', '0 2 * * *', { startMs: now });

  it.each<[string, Schedule, boolean]>([
    ['nothing', base, true],
    ['the order of members', stored(base), true],
    ['the expression', cron('a', '0 3 * * *', { startMs: now }), false],
    ['the name', { ...base, name: 'b' }, false],
    ['the start', { ...base, startMs: now + 1 }, false],
    ['an end', { ...base, endMs: now + second }, false],
    ['the repeat count', { ...base, repeatCount: 2 }, false],
  ])('tells a change of %s', (_, edited, alike) => {
    expect(firesAlike([base], [edited])).toBe(alike);
  });

  it('tells a schedule more or less, and another order', () => {
    const other = cron('b', '0 4 * * *');
    expect(firesAlike([base], [base, other])).toBe(false);
    expect(firesAlike([base, other], [other, base])).toBe(false);
  });
});

describe('when a definition fires first', () => {
  it.each<[string, readonly Schedule[], string | null]>([
    ['computes from now', [cron('a', '0 * * * *')], '2026-11-21T13:00:00.000Z'],
    [
      'takes the earliest of its schedules',
      [cron('a', '0 * * * *'), cron('b', '30 12 * * *')],
      '2026-11-21T12:30:00.000Z',
    ],
    ['does not look back', [cron('a', '0 12 * * *')], '2026-11-22T12:00:00.000Z'],
    ['never fires without schedules', [], null],
    ['never fires when the end has passed', [cron('a', '* * * * *', { endMs: now - 1 })], null],
    ['takes a one-shot to come', [once(now + second)], '2026-11-21T12:00:01.250Z'],
    ['leaves a one-shot that passed before the grace', [once(now - 60_001)], null],
  ])('%s', (_, schedules, next) => {
    expect(timingOf(schedules).next).toBe(next);
  });

  it('names a one-shot that has just passed beside the timetable, so that it alone fires late', () => {
    expect(timingOf([once(now - second)])).toEqual({ next: null, progress: [], late: [0] });
    const both = [cron('a', '*/10 * * * * *'), once(now - 30 * second)];
    expect(timingOf(both)).toEqual({ next: '2026-11-21T12:00:10.000Z', progress: [], late: [1] });
    expect(timingOf([once(now - 60_001)]).late).toEqual([]);
  });

  it('does not bring back a one-shot that the job had before', () => {
    const passed = once(now - second);
    expect(timingOf([passed], { schedules: [passed], progress: [] }).late).toEqual([]);
    const edited = [passed, cron('a', '0 13 * * *')];
    expect(timingOf(edited, { schedules: [passed], progress: [] })).toEqual({
      next: '2026-11-21T13:00:00.000Z',
      progress: [],
      late: [],
    });
  });
});

describe('the runs that schedules have made', () => {
  const three = cron('three', '* * * * *', { repeatCount: 3 });

  it('begin at none, and are kept only where a schedule has a repeat count', () => {
    expect(timingOf([three]).progress).toEqual([{ runs: 0 }]);
    expect(timingOf([cron('a', '* * * * *')]).progress).toEqual([]);
  });

  it('stay with a schedule that an edit leaves as it was, wherever it stands now', () => {
    const edited = [cron('new', '0 * * * *'), { ...three, startMs: now }];
    expect(timingOf(edited, { schedules: [three], progress: [{ runs: 2 }] }).progress).toEqual([
      { runs: 0 },
      { runs: 2 },
    ]);
  });

  it('begin anew for a schedule whose times an edit changes', () => {
    const edited = cron('three', '0 * * * *', { repeatCount: 3 });
    expect(timingOf([edited], { schedules: [three], progress: [{ runs: 2 }] }).progress).toEqual([
      { runs: 0 },
    ]);
  });

  it('finish a job whose schedules have made them all', () => {
    expect(timingOf([three], { schedules: [three], progress: [{ runs: 3 }] })).toEqual({
      next: null,
      progress: [{ runs: 3 }],
      late: [],
    });
  });

  // The specs are compared as text, and the database gives their members back in another order.
  it('stay with a schedule that comes from the database', () => {
    expect(timingOf([three], { schedules: [stored(three)], progress: [{ runs: 2 }] }).progress).toEqual([
      { runs: 2 },
    ]);
  });
});
