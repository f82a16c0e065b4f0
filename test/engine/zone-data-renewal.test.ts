import { expect, it } from 'vitest';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import { JobCache } from '../../src/engine/job-cache.ts';
import { ZoneDataRenewal } from '../../src/engine/zone-data-renewal.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { zoneDataVersion } from '../../src/platform/zone-data.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
const hour = 3_600_000;

const daily: Schedule = {
  name: 'daily',
  repeatCount: 0,
  spec: {
    kind: 'cron',
    expression: '0 9 * * *',
    dialect: 'UNIX',
    timeZone: 'Africa/Casablanca',
    gap: 'RUN_AT_GAP_END',
    ambiguous: 'FIRST',
  },
};

it('recomputes what other zone data computed, once in a term, and logs and counts the jobs that moved', async () => {
  const { store } = stored;
  const nextMs = compileTimetable([daily], 1).next(Date.now(), [])!.atMs;
  const dueMs = Date.now() - hour;
  const moved = await stored.addJob({ schedules: [daily], nextFireMs: nextMs + hour });
  const unmoved = await stored.addJob({ schedules: [daily], nextFireMs: nextMs });
  const due = await stored.addJob({ schedules: [daily], nextFireMs: dueMs });
  const current = await stored.addJob({ schedules: [daily], nextFireMs: nextMs + 2 * hour });
  await stored.rows(`update carillon.timer set zone_data = '2001a' where job_id <> $1`, [current]);
  const instanceId = await store.instances.register(
    store.db,
    { name: 'test', roles: 'scheduler', version: '0' },
    60_000,
  );
  await stored.rows(
    `insert into carillon.leader_lease values ('scheduler', $1, 5, now() + interval '1 hour')
     on conflict (name) do update set instance_id = $1, term = 5, expires_at = now() + interval '1 hour'`,
    [instanceId],
  );
  const lines: string[] = [];
  const counted: [string, number][] = [];
  const renewal = new ZoneDataRenewal({
    store,
    jobs: new JobCache(store),
    clock: systemClock,
    logger: createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } }),
    metrics: { count: (name, value) => void counted.push([name, value]), observe: () => undefined },
    leadership: () => ({ term: 5, instanceId }),
    intervalMs: 1_000,
  });
  await renewal.tick();
  expect(await stored.timerOf(moved)).toMatchObject({ nextFireMs: nextMs, zoneData: zoneDataVersion });
  expect(await stored.timerOf(unmoved)).toMatchObject({ nextFireMs: nextMs, zoneData: zoneDataVersion });
  expect((await stored.timerOf(due)).nextFireMs).toBe(dueMs);
  expect((await stored.timerOf(current)).nextFireMs).toBe(nextMs + 2 * hour);
  expect(counted).toEqual([['carillon_timers_moved_total', 1]]);
  expect(lines.filter((line) => line.includes('the rules of its time zone have changed'))).toHaveLength(1);
  expect(lines.find((line) => line.includes(`"jobId":${moved}`))).toContain(new Date(nextMs).toISOString());
  expect(await stored.ledgerOf(moved)).toEqual([]);
});

it('writes nothing once another leader has a higher term (F2, I7)', async () => {
  const { store } = stored;
  const nextMs = Date.now() + 5 * hour;
  const jobId = await stored.addJob({ schedules: [daily], nextFireMs: nextMs });
  await stored.rows(`update carillon.timer set zone_data = '2001a' where job_id = $1`, [jobId]);
  const register = (name: string): Promise<number> =>
    store.instances.register(store.db, { name, roles: 'scheduler', version: '0' }, 60_000);
  const [before, now] = [await register('before'), await register('now')];
  await stored.rows(
    `insert into carillon.leader_lease values ('scheduler', $1, 9, now() + interval '1 hour')
     on conflict (name) do update set instance_id = $1, term = 9, expires_at = now() + interval '1 hour'`,
    [now],
  );
  const renewalOf = (instanceId: number, term: number) =>
    new ZoneDataRenewal({
      store,
      jobs: new JobCache(store),
      clock: systemClock,
      logger: createLogger({ level: 'silent', destination: { write: () => undefined } }),
      metrics: { count: () => undefined, observe: () => undefined },
      leadership: () => ({ term, instanceId }),
      intervalMs: 1_000,
    });
  await renewalOf(before, 8).tick();
  expect(await stored.timerOf(jobId)).toMatchObject({ nextFireMs: nextMs, zoneData: '2001a' });
  await renewalOf(now, 9).tick();
  expect(await stored.timerOf(jobId)).toMatchObject({ zoneData: zoneDataVersion });
});
