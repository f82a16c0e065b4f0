/** Puts jobs straight into the tables, as Add would leave them, and makes some of them due in one second. */
import type pg from 'pg';
import { type JobDefinition, jobDefaults } from '../../src/domain/job.ts';
import { zoneDataVersion } from '../../src/platform/zone-data.ts';
import { columnsFromDefinition } from '../../src/store/job-rows.ts';
import { type DrawnJob, dailyAt } from './many-jobs.ts';
import { ensure } from './statistics.ts';

const batchRows = 10_000;

/** What the jobs have in common. */
const definitionOf = (targetUrl: string): JobDefinition => ({
  description: '',
  labels: {},
  schedules: [],
  target: { kind: 'http', url: targetUrl, method: 'POST', headers: {}, successCodes: [] },
  parameters: {},
  priority: 0,
  overlap: jobDefaults.overlap,
  misfire: jobDefaults.misfire,
  retry: jobDefaults.retry,
  attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
  maxRunning: jobDefaults.maxRunning,
});

/**
 * Inserts as many jobs as `count` says, each with its timer, 10,000 in one
 * transaction. The next batch is drawn while the database writes one. Returns
 * how long drawing took, which is a part of the whole.
 */
export async function loadJobs(
  client: pg.Client,
  count: number,
  draw: (place: number) => DrawnJob,
  targetUrl: string,
  onBatch: (loaded: number) => void,
): Promise<{ readonly drawMs: number }> {
  const { schedules: _, labels: __, ...columns } = columnsFromDefinition(definitionOf(targetUrl));
  const insertJobs = `
    insert into carillon.job (id, namespace, group_name, name, labels, schedules, ${Object.keys(columns).join(', ')})
    select j.id, 'default', 'group-' || j.id % 1000, 'job-' || j.id,
           jsonb_build_object('team', 'team-' || j.id % 100), j.schedules::jsonb,
           ${Object.keys(columns).map((_, i) => `$${i + 3}`)}
      from unnest($1::bigint[], $2::text[]) as j (id, schedules)`;
  const insertTimers = `
    insert into carillon.timer (job_id, generation, next_fire_at, progress, zone_data)
    select job_id, 1, to_timestamp(fire_ms / 1000.0), '[]', $3
      from unnest($1::bigint[], $2::bigint[]) as t (job_id, fire_ms)`;
  const insert = async (
    ids: readonly number[],
    schedules: readonly string[],
    fires: readonly number[],
  ): Promise<void> => {
    await client.query('begin');
    await client.query({
      name: 'jobs',
      text: insertJobs,
      values: [ids, schedules, ...Object.values(columns)],
    });
    await client.query({ name: 'timers', text: insertTimers, values: [ids, fires, zoneDataVersion] });
    await client.query('commit');
  };
  let written = Promise.resolve();
  let drawMs = 0;
  for (let from = 0; from < count; from += batchRows) {
    const beganMs = performance.now();
    const jobs = Array.from({ length: Math.min(batchRows, count - from) }, (_, i) => draw(from + i));
    const ids = jobs.map(({ id }) => id);
    const schedules = jobs.map(({ schedule }) => JSON.stringify([schedule]));
    const fires = jobs.map(({ nextFireMs }) => nextFireMs);
    drawMs += performance.now() - beganMs;
    await written;
    onBatch(from);
    written = insert(ids, schedules, fires);
  }
  await written;
  return { drawMs };
}

/** Edits jobs so that they fire at one instant and then every day, each in the time zone that its id gives it. */
export async function makeDue(client: pg.Client, ids: readonly number[], atMs: number): Promise<void> {
  for (let from = 0; from < ids.length; from += batchRows) {
    const some = ids.slice(from, from + batchRows);
    const { rowCount } = await client.query(
      `with edited as (
         update carillon.job j
            set schedules = d.schedules::jsonb, generation = generation + 1, revision = revision + 1
           from unnest($1::bigint[], $2::text[]) as d (id, schedules) where j.id = d.id
         returning j.id, j.generation
       )
       update carillon.timer t
          set generation = e.generation, next_fire_at = to_timestamp($3 / 1000.0), zone_data = $4
         from edited e where t.job_id = e.id`,
      [some, some.map((id) => JSON.stringify([dailyAt(id, atMs)])), atMs, zoneDataVersion],
    );
    ensure(rowCount === some.length, `${rowCount} of ${some.length} jobs were made due`);
  }
}
