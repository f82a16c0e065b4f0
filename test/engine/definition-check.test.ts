import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { anchorSchedules, checkDefinition, checkSchedules } from '../../src/engine/definition-check.ts';
import type { ScheduleDraft } from '../../src/engine/operations.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const hour = 3_600_000;

const cron = (expression: string, more: Partial<Schedule> = {}, timeZone = 'UTC'): Schedule => ({
  name: 'main',
  repeatCount: 0,
  spec: { kind: 'cron', expression, dialect: 'UNIX', timeZone, gap: 'SKIP', ambiguous: 'FIRST' },
  ...more,
});

const every = (everyMs: number, anchorMs?: number, more: Partial<Schedule> = {}): ScheduleDraft => ({
  name: 'main',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs },
  ...more,
});

const once = (atMs: number): Schedule => ({ name: 'main', repeatCount: 0, spec: { kind: 'once', atMs } });

const definition: JobDefinition = {
  description: '',
  labels: {},
  schedules: [],
  target: { kind: 'http', url: 'http://example.com/', method: 'POST', headers: {}, successCodes: [] },
  parameters: {},
  priority: 0,
  overlap: 'SKIP',
  misfire: jobDefaults.misfire,
  retry: jobDefaults.retry,
  attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
  maxRunning: jobDefaults.maxRunning,
};

/** Reason and message of the refusal; undefined when there is none. */
function refusalOf(act: () => unknown): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    expect(error.details.violations?.length).toBeGreaterThan(0);
    return `${error.reason} ${error.message}`;
  }
}

const check = (...schedules: Schedule[]): string | undefined =>
  refusalOf(() => checkSchedules(schedules, 'job', now, 1));

describe('an interval without an anchor', () => {
  const anchorOf = (draft: ScheduleDraft, before: readonly Schedule[] = []): unknown => {
    const [{ spec }] = anchorSchedules([draft], before, now) as [Schedule];
    return spec.kind === 'interval' ? spec.anchorMs : spec;
  };
  const earlier = (everyMs: number, name = 'main'): Schedule[] => [
    { name, repeatCount: 0, spec: { kind: 'interval', everyMs, mode: 'FIXED_RATE', anchorMs: 77 } },
  ];

  it.each<[string, ScheduleDraft, readonly Schedule[], number]>([
    ['keeps its own anchor', every(hour, 5, { startMs: 6 }), earlier(hour), 5],
    ['takes its start', every(hour, undefined, { startMs: 6 }), earlier(hour), 6],
    ['takes the anchor that the same schedule had before, so nothing moves', every(hour), earlier(hour), 77],
    ['takes now when the interval is another', every(hour), earlier(2 * hour), now],
    ['takes now when the name is another', every(hour), earlier(hour, 'other'), now],
    ['takes now when it is new', every(hour), [], now],
  ])('%s', (_, draft, before, anchor) => {
    expect(anchorOf(draft, before)).toBe(anchor);
  });

  it('is also what @every becomes', () => {
    expect(anchorSchedules([cron('@every 90s')], [], now)).toEqual([
      {
        name: 'main',
        repeatCount: 0,
        spec: { kind: 'interval', everyMs: 90_000, mode: 'FIXED_RATE', anchorMs: now },
      },
    ]);
    expect(anchorSchedules([cron('0 2 * * *')], [], now)).toEqual([cron('0 2 * * *')]);
  });

  it.each([
    ['@every 1ms', 'INVALID_SCHEDULE job.schedules[0].cron.expression: @every takes 10ms to 100 years'],
    ['@every 999999h', 'INVALID_SCHEDULE job.schedules[0].cron.expression: @every takes 10ms to 100 years'],
    [
      '@every 5',
      'INVALID_SCHEDULE job.schedules[0].cron.expression: position 8: "5" is no duration; write it like 90s, 5m, 1h30m or 250ms',
    ],
  ])('refuses %s', (expression, refusal) => {
    expect(refusalOf(() => anchorSchedules([cron(expression)], [], now))).toBe(refusal);
  });
});

describe('schedules', () => {
  it.each<[string, Schedule[]]>([
    ['none at all', []],
    ['a cron expression', [cron('0 2 * * *', {}, 'Europe/Berlin')]],
    ['a one-shot to come', [once(now + 1)]],
    ['bounds that hold a fire time', [cron('0 13 * * *', { startMs: now + hour, endMs: now + hour })]],
    ['two with different names', [cron('0 2 * * *'), cron('0 3 * * *', { name: 'other' })]],
  ])('are accepted with %s', (_, schedules) => {
    expect(check(...schedules)).toBeUndefined();
  });

  it.each<[string, Schedule[], string]>([
    [
      'two of one name',
      [cron('0 2 * * *'), cron('0 3 * * *')],
      'INVALID_ARGUMENT job.schedules[1].name: "main" is used twice; names are unique within a job',
    ],
    [
      'an end before the start',
      [cron('0 2 * * *', { startMs: now + 2, endMs: now + 1 })],
      'INVALID_SCHEDULE job.schedules[0].end_time: must not be before start_time',
    ],
    [
      'an unknown zone',
      [cron('0 2 * * *', {}, 'Mars/Olympus')],
      'INVALID_SCHEDULE job.schedules[0].cron.time_zone: "Mars/Olympus" is no IANA time zone; write one like "Europe/Berlin" or "UTC"',
    ],
    [
      'an offset as zone',
      [cron('0 2 * * *', {}, '+02:00')],
      'INVALID_SCHEDULE job.schedules[0].cron.time_zone: "+02:00" is no IANA time zone; write one like "Europe/Berlin" or "UTC"',
    ],
    [
      'an expression that cannot be understood',
      [cron('61 2 * * *')],
      'INVALID_SCHEDULE job.schedules[0].cron.expression: minute field, position 1: 61 is out of range; write 0 to 59',
    ],
    [
      'a date that no year has',
      [cron('0 0 30 2 *')],
      'INVALID_SCHEDULE job.schedules[0].cron.expression: day of month field, position 5: it never fires: none of its months has such a day; write 1 to 29',
    ],
    [
      'days that never meet',
      [cron('0 0 */31 * MON#2')],
      'INVALID_SCHEDULE job.schedules[0]: never fires after 2026-11-21T12:00:00.000Z: no instant within its bounds fits it',
    ],
    [
      'a time that clocks jump over every year',
      [cron('30 2 * 3 SUNL', {}, 'Europe/Berlin')],
      'INVALID_SCHEDULE job.schedules[0]: never fires after 2026-11-21T12:00:00.000Z: no instant within its bounds fits it',
    ],
    [
      'a one-shot that has passed',
      [once(now - 1)],
      'INVALID_SCHEDULE job.schedules[0]: never fires: at_time lies before 2026-11-21T12:00:00.000Z',
    ],
    [
      'an end that has passed',
      [cron('0 2 * * *', { endMs: now - 1 })],
      'INVALID_SCHEDULE job.schedules[0]: never fires: end_time lies before 2026-11-21T12:00:00.000Z',
    ],
    [
      'bounds without a fire time',
      [cron('0 2 * * *', { endMs: now + hour })],
      'INVALID_SCHEDULE job.schedules[0]: never fires after 2026-11-21T12:00:00.000Z: no instant within its bounds fits it',
    ],
    [
      'one of several that never fires',
      [cron('0 2 * * *'), { ...once(now - 1), name: 'late' }],
      'INVALID_SCHEDULE job.schedules[1]: never fires: at_time lies before 2026-11-21T12:00:00.000Z',
    ],
  ])('are refused with %s', (_, schedules, refusal) => {
    expect(check(...schedules)).toBe(refusal);
  });
});

describe('a definition', () => {
  it('is refused when its backoff shrinks', () => {
    const retry = { ...jobDefaults.retry, initialBackoffMs: 2_000, maxBackoffMs: 1_000 };
    expect(refusalOf(() => checkDefinition({ ...definition, retry }, 'job', now, 1))).toBe(
      'INVALID_ARGUMENT job.retry.max_backoff: must not be shorter than initial_backoff (2000 ms)',
    );
  });

  // The path of the target leaves its kind out: job.target.url.
  it('names every field that is wrong', () => {
    const retry = { ...jobDefaults.retry, initialBackoffMs: 2_000, maxBackoffMs: 1_000 };
    const target = { ...definition.target, url: 'ftp://example.com/' };
    let refused: unknown;
    try {
      checkDefinition({ ...definition, retry, target }, 'job', now, 1);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(DomainError);
    const fields = (refused as DomainError).details.violations?.map((violation) => violation.field);
    expect(fields).toEqual(['job.target.http.url', 'job.retry.max_backoff']);
  });

  it('is given its timetable', () => {
    const timetable = checkDefinition({ ...definition, schedules: [cron('0 13 * * *')] }, 'job', now, 1);
    expect(timetable.next(now, [])?.atMs).toBe(now + hour);
  });
});
