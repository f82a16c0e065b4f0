import type { Job, JobKey, JobRef } from '../domain/job.ts';
import { Exclusions } from '../domain/schedule/exclusions.ts';
import type { Schedule, ScheduleProgress } from '../domain/schedule/schedule.ts';
import { compileTimetable, type Fire } from '../domain/schedule/timetable.ts';
import { Turn } from '../platform/turn.ts';
import type { Store } from '../store/store.ts';
import type { CalendarCache } from './calendar-cache.ts';
import { anchorSchedules, checkSchedulesInTurns } from './definition-check.ts';
import { timingFrom } from './job-timing.ts';
import type { PreviewFireTime, ScheduleDraft } from './operations.ts';
import { jobNotFound } from './refusals.ts';
import { adviceOn } from './schedule-advice.ts';

export type PreviewOptions = {
  readonly store: Pick<Store, 'db' | 'feed' | 'jobs' | 'timers'>;
  readonly calendars: CalendarCache;
};

/** What to preview: a stored job, or schedules that are not saved. */
export type PreviewSubject =
  | { readonly job: JobRef }
  | { readonly schedules: readonly ScheduleDraft[]; readonly key?: JobKey };

/**
 * Computes fire times without changing anything, with what is special about
 * each: clock changes, jitter, calendars, pauses. From now on, a stored job goes
 * on from where it is: runs that were made count. From an earlier instant it is
 * shown as if it began there. Schedules that are not saved, under the key of a
 * stored job, are shown as an edit of it would have them. A fixed delay is shown as if executions took no
 * time.
 */
export async function previewFireTimes(
  { store, calendars }: PreviewOptions,
  subject: PreviewSubject,
  options: { readonly from?: Date; readonly count: number },
): Promise<{ readonly fireTimes: readonly PreviewFireTime[]; readonly warnings: readonly string[] }> {
  const { db } = store;
  const { now } = await store.feed.readPosition(db);
  const fromMs = (options.from ?? now).getTime();
  const stored = 'job' in subject ? await store.jobs.find(db, subject.job) : undefined;
  if ('job' in subject && !stored) throw jobNotFound(subject.job);
  const key = stored?.key ?? ('key' in subject ? subject.key : undefined);
  const edited = 'key' in subject && key ? await store.jobs.find(db, { key }) : undefined;
  const schedules =
    'job' in subject
      ? stored!.schedules
      : anchorSchedules(subject.schedules, edited?.schedules ?? [], fromMs, '');
  const present = stored ?? edited;
  const spreadSeed = present?.id ?? seedOfKey(key);
  // Whoever may look may ask for a thousand rare fire times of a hundred schedules: every search is a step of its own.
  const turn = new Turn();
  await turn.pass();
  const timetable = stored
    ? compileTimetable(schedules, spreadSeed)
    : await checkSchedulesInTurns(schedules, '', fromMs, spreadSeed, turn);
  const user = { id: spreadSeed, key: { namespace: key?.namespace ?? 'default' }, definition: { schedules } };
  const exclusions = (await calendars.load(db, [user])).get(spreadSeed) ?? Exclusions.none;
  const pausedUntilMs = pauseEndMs(present);

  let progress: readonly ScheduleProgress[] =
    present && fromMs >= now.getTime() ? await store.timers.findProgress(db, present.id) : [];
  if (edited) {
    const before = { schedules: edited.schedules, progress };
    ({ progress } = timingFrom(timetable, { ...edited, schedules }, now.getTime(), before).timing);
  }
  for (const { delay } of progress) {
    if (delay && 'waitsForMs' in delay) progress = timetable.afterFinish(progress, delay.waitsForMs, fromMs);
  }
  const fireTimes: PreviewFireTime[] = [];
  const singles = schedules.map((_, place) => timetable.only([place]));
  const heads: (Fire | undefined)[] = [];
  for (const [place, single] of singles.entries()) {
    heads[place] = single.next(fromMs, progress);
    await turn.pass();
  }
  for (let fire = earliestOf(heads); fire && fireTimes.length < options.count; fire = earliestOf(heads)) {
    const applied = exclusions.apply(fire);
    const shown = applied.kind === 'open' ? applied.fire : fire;
    const { localTime, timeZone, note } = timetable.describe(shown);
    const isHeld = fire.atMs > now.getTime() && fire.atMs < pausedUntilMs;
    const notes = [
      note,
      applied.kind === 'excluded' ? `excluded by ${applied.by}` : '',
      isHeld ? 'held by a pause' : '',
      shown.schedules.some((place) => isFixedDelay(schedules[place])) ? 'if executions took no time' : '',
    ];
    fireTimes.push({
      fireAt: new Date(fire.atMs),
      localTime,
      timeZone,
      schedule: shown.name,
      note: notes.filter(Boolean).join('; '),
    });
    // What a calendar excludes makes no run.
    if (applied.kind !== 'excluded')
      progress = timetable.afterFinish(timetable.afterRun(progress, shown), fire.atMs, fire.atMs);
    // The others fire when they did: a run moves its own schedules only.
    for (const place of fire.schedules) {
      heads[place] = singles[place]!.next(fire.atMs, progress);
      await turn.pass();
    }
  }
  return {
    fireTimes,
    warnings: await adviceOn(db, store, schedules, timetable, {
      fromMs,
      jobId: present?.id ?? 0,
      spreadSeed,
      turn,
    }),
  };
}

/** The first of the next fire times of single schedules, with all that name it. */
function earliestOf(heads: readonly (Fire | undefined)[]): Fire | undefined {
  const atMs = Math.min(...heads.map((head) => head?.atMs ?? Number.POSITIVE_INFINITY));
  const [first, ...others] = heads.filter((head) => head?.atMs === atMs);
  return first && { ...first, schedules: [first, ...others].flatMap((head) => head!.schedules) };
}

const isFixedDelay = (schedule: Schedule | undefined): boolean =>
  schedule?.spec.kind === 'interval' && schedule.spec.mode === 'FIXED_DELAY';

const pauseEndMs = (job: Job | undefined): number =>
  Math.max(
    Number.NEGATIVE_INFINITY,
    ...(job?.pauses ?? []).map((pause) => pause.untilAt?.getTime() ?? Number.POSITIVE_INFINITY),
  );

/** What `H` is spread by while a job has no id yet. */
function seedOfKey(key: JobKey | undefined): number {
  let seed = 0;
  for (const character of key ? `${key.namespace}/${key.group}/${key.name}` : '') {
    seed = (Math.imul(seed, 31) + character.codePointAt(0)!) >>> 0;
  }
  return seed;
}
