import type { JobDefinition } from '../domain/job.ts';
import { lintSchedules } from '../domain/schedule/lint.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import { spreadSuggestion } from '../domain/schedule/spread-suggestion.ts';
import type { Timetable } from '../domain/schedule/timetable.ts';
import { Turn } from '../platform/turn.ts';
import type { Db } from '../store/database.ts';
import type { Store } from '../store/store.ts';

/** What there is to say about how many executions of a job may run at once. */
export function adviceOnLimit({
  overlap,
  maxRunning,
}: Pick<JobDefinition, 'overlap' | 'maxRunning'>): readonly string[] {
  if (maxRunning <= 1 || overlap === 'ALLOW') return [];
  return [
    `max_running is ${maxRunning}, but overlap ${overlap} lets fire times start one execution at a time; ` +
      'set overlap to ALLOW to run several',
  ];
}

/** Other jobs are counted up to here. */
const maxCounted = 10_000;

/**
 * What there is to say about schedules, in plain words: what they mean, what is
 * legal but often not what was meant, and how many other jobs fire together
 * with their next fire time. `jobId` is 0 for a job that is not stored.
 */
export async function adviceOn(
  db: Db,
  store: Pick<Store, 'timers'>,
  schedules: readonly Schedule[],
  timetable: Timetable,
  {
    fromMs,
    jobId,
    spreadSeed,
    turn = new Turn(),
  }: {
    readonly fromMs: number;
    readonly jobId: number;
    readonly spreadSeed: number;
    readonly turn?: Turn;
  },
): Promise<readonly string[]> {
  const advice: string[] = [];
  for (const schedule of schedules) {
    await turn.pass();
    advice.push(...lintSchedules([schedule], fromMs, spreadSeed));
  }
  const next = timetable.next(fromMs, []);
  for (const place of next?.schedules ?? []) {
    const { spec, name } = schedules[place]!;
    const spread = spec.kind === 'cron' ? spreadSuggestion(spec) : undefined;
    if (spread === undefined) continue;
    const second = new Date(Math.floor(next!.atMs / 1000) * 1000);
    const until = new Date(second.getTime() + 1000);
    const others = await store.timers.countNextWithin(db, second, until, jobId, maxCounted);
    if (others === 0) continue;
    const many =
      others === maxCounted
        ? `${others} or more other jobs fire`
        : others === 1
          ? 'another job fires'
          : `${others} other jobs fire`;
    advice.push(
      `schedule ${JSON.stringify(name)}: ${many} in the same second, ${second.toISOString().slice(0, 19)}Z; ` +
        `write ${JSON.stringify(spread)} to spread them`,
    );
  }
  return advice;
}
