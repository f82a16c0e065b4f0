import type { ScheduleProgress } from './schedule.ts';

/** The fire times whose executions schedules with a fixed delay wait for. */
export const awaitedFireTimes = (progress: readonly ScheduleProgress[]): readonly number[] =>
  progress.flatMap(({ delay }) => (delay && 'waitsForMs' in delay ? [delay.waitsForMs] : []));

/** Whether a schedule with a fixed delay waits for its execution to finish. */
export const waitsForFinish = (progress: readonly ScheduleProgress[]): boolean =>
  awaitedFireTimes(progress).length > 0;
