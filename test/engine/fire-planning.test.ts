/** How long one tick plans: what the time does not suffice for stays due, in a real database. */
import { expect, it } from 'vitest';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { CalendarCache } from '../../src/engine/calendar-cache.ts';
import { FirePlanning } from '../../src/engine/fire-planning.ts';
import { JobCache } from '../../src/engine/job-cache.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
const hour = 3_600_000;
const startMs = Date.UTC(2026, 0, 1);

const hourly: Schedule = {
  name: 'main',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs: hour, mode: 'FIXED_RATE', anchorMs: startMs },
};

/** Planning by a clock on which every reading comes this long after the one before. */
function planningOf(stepMs: number): FirePlanning {
  const { store } = stored;
  let readMs = 0;
  const clock = {
    monotonicMs: () => {
      readMs += stepMs;
      return readMs;
    },
  };
  return new FirePlanning({
    store,
    jobs: new JobCache(store),
    calendars: new CalendarCache(store),
    clock,
    logger: silentLogger,
  });
}

const dueAt = new Date(startMs + hour);

it('a tick plans the oldest fire times while its time lasts, one at least; the others stay due (I2, I6)', async () => {
  const { store } = stored;
  for (let n = 0; n < 4; n++) await stored.addJob({ schedules: [hourly], nextFireMs: startMs + n });
  const fired: number[] = [];
  // Readings 90 ms apart leave time for three, 1,000 ms apart for none.
  for (const stepMs of [90, 1_000, 1_000]) {
    await store.transaction(async (tx) => {
      const planning = planningOf(stepMs);
      const due = await store.timers.lockDue(tx, 10, dueAt);
      const firings = await planning.planDue(tx, due, { mayLeave: true });
      expect(firings.map(({ jobId }) => jobId)).toEqual(
        due.slice(0, firings.length).map(({ jobId }) => jobId),
      );
      const { advanced } = await planning.write(tx, firings, 1);
      fired.push(advanced);
    });
  }
  expect(fired).toEqual([3, 1, 0]);
});

it('a command that settles what jobs owe plans all of them, however long it takes', async () => {
  const { store } = stored;
  for (let n = 0; n < 3; n++) await stored.addJob({ schedules: [hourly], nextFireMs: startMs + n });
  await store.transaction(async (tx) => {
    const due = await store.timers.lockDue(tx, 10, dueAt);
    expect(await planningOf(1_000).planDue(tx, due)).toHaveLength(3);
  });
});
