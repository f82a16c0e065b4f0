/** What Resume does with the fire times that a pause held back (I16). */
import { describe, expect, it } from 'vitest';
import type { OverlapPolicy } from '../../src/domain/job.ts';
import type { Schedule } from '../../src/domain/schedule/schedule.ts';
import { PauseCommands } from '../../src/engine/pause-commands.ts';
import { caller } from '../support/caller.ts';
import { type StoredJob, useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
const minute = 60_000;
const startMs = Math.floor(Date.now() / minute) * minute - 60 * minute;

const minutely: Schedule = {
  name: 'main',
  repeatCount: 0,
  spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_RATE', anchorMs: startMs },
};

/** A paused job with five fire times held back, and the commands on it. */
async function heldJob(overlap: OverlapPolicy, more: StoredJob = {}) {
  const { schedules = [minutely] } = more;
  const jobId = await stored.addJob({ ...more, schedules, definition: { overlap } });
  const { jobs, planning, continuation, topics } = stored.engine();
  const commands = new PauseCommands({
    store: stored.store,
    jobs,
    planning,
    continuation,
    notifier: { notify: (topic) => void topics.push(topic) },
    newPauseId: () => `p${jobId}`,
  });
  const choice = { job: { id: jobId } };
  await commands.pause(choice, { reason: 'held' }, caller);
  for (let n = 0; n < 5; n++) {
    await stored.rows(
      `insert into carillon.execution (id, job_id, fire_at, created_at, finished_at, term, priority, cause, state, reason,
                                       schedule, message)
       values (carillon.next_id(), $1, to_timestamp($2::float8 / 1000), now(), now(), 1, 0, 'SCHEDULE', 'SKIPPED',
               'PAUSED', 'main', 'the job was paused')`,
      [jobId, startMs + n * minute],
    );
  }
  const resume = (missed: 'DROP' | 'RUN_LAST' | 'RUN_ALL', dryRun = false, pauseId = '') =>
    commands.resume(choice, { pauseId, missed, dryRun }, caller);
  /** What became of the five, in short. */
  const short = async () =>
    (await stored.ledgerOf(jobId)).map(
      ({ state, reason, buffered }) => reason ?? `${state}${buffered ? ' buffered' : ''}`,
    );
  return { jobId, resume, short, continuation };
}

const allHeld = ['PAUSED', 'PAUSED', 'PAUSED', 'PAUSED', 'PAUSED'];

describe('a resume', () => {
  it.each<['DROP' | 'RUN_LAST' | 'RUN_ALL', OverlapPolicy, string[]]>([
    ['DROP', 'ALLOW', allHeld],
    ['RUN_LAST', 'ALLOW', ['PAUSED', 'PAUSED', 'PAUSED', 'PAUSED', 'PENDING']],
    ['RUN_ALL', 'ALLOW', ['PENDING', 'PENDING', 'PENDING', 'PENDING', 'PENDING']],
    ['RUN_ALL', 'SKIP', ['PENDING', 'OVERLAP', 'OVERLAP', 'OVERLAP', 'OVERLAP']],
    ['RUN_ALL', 'BUFFER_ONE', ['PENDING', 'PENDING buffered', 'OVERLAP', 'OVERLAP', 'OVERLAP']],
    [
      'RUN_ALL',
      'BUFFER_ALL',
      ['PENDING', 'PENDING buffered', 'PENDING buffered', 'PENDING buffered', 'PENDING buffered'],
    ],
    ['RUN_ALL', 'CANCEL_OTHER', ['OVERLAP', 'OVERLAP', 'OVERLAP', 'OVERLAP', 'PENDING']],
  ])('with %s under %s', async (missed, overlap, expected) => {
    const { resume, short, continuation } = await heldJob(overlap);
    const { heldBackFireTimes, changed } = await resume(missed);
    await continuation.settled();
    expect(changed).toBe(1);
    expect(await short()).toEqual(expected);
    expect(heldBackFireTimes).toHaveLength(expected.filter((text) => text.startsWith('PENDING')).length);
  });

  it('that is a dry run says what would run, and changes nothing', async () => {
    const { jobId, resume, short } = await heldJob('ALLOW');
    const { heldBackFireTimes } = await resume('RUN_ALL', true);
    expect(heldBackFireTimes.map((at) => at.getTime())).toEqual(
      [0, 1, 2, 3, 4].map((n) => startMs + n * minute),
    );
    expect(await short()).toEqual(allHeld);
    expect((await stored.store.jobs.find(stored.store.db, { id: jobId }))?.state).not.toBe('ACTIVE');
  });

  it('uses up the runs that a schedule has left, oldest first, and no more', async () => {
    const { jobId, resume, short } = await heldJob('ALLOW', {
      schedules: [{ ...minutely, repeatCount: 4 }],
      progress: [{ runs: 2 }],
    });
    await resume('RUN_ALL');
    expect(await short()).toEqual(['PENDING', 'PENDING', 'PAUSED', 'PAUSED', 'PAUSED']);
    expect(await stored.timerOf(jobId)).toMatchObject({ progress: [{ runs: 4 }], nextFireMs: null });
  });

  it('runs one of a fixed delay, which then waits for its finish', async () => {
    const { jobId, resume, short } = await heldJob('ALLOW', {
      schedules: [
        { ...minutely, spec: { kind: 'interval', everyMs: minute, mode: 'FIXED_DELAY', anchorMs: startMs } },
      ],
    });
    await resume('RUN_ALL');
    expect(await short()).toEqual(['PENDING', 'PAUSED', 'PAUSED', 'PAUSED', 'PAUSED']);
    expect(await stored.timerOf(jobId)).toMatchObject({
      progress: [{ runs: 0, delay: { waitsForMs: startMs } }],
      waits: true,
    });
  });

  it('runs what was held back of a schedule that an edit took away since', async () => {
    const { jobId, resume, short } = await heldJob('ALLOW');
    await stored.rows(`update carillon.job set schedules = '[]', generation = generation + 1 where id = $1`, [
      jobId,
    ]);
    await stored.rows('update carillon.timer set generation = generation + 1 where job_id = $1', [jobId]);
    await resume('RUN_LAST');
    expect(await short()).toEqual(['PAUSED', 'PAUSED', 'PAUSED', 'PAUSED', 'PENDING']);
  });

  it('is not kept back by a pause whose end has passed', async () => {
    const { jobId, resume, short } = await heldJob('ALLOW');
    await stored.rows(
      `insert into carillon.pause (id, job_id, actor, reason, created_at, until_at, held_since)
       values ($2, $1, 'a', 'over', now() - interval '1 hour', now() - interval '1 minute', now())`,
      [jobId, `over${jobId}`],
    );
    const [pause] = await stored.rows<{ id: string }>(
      `select id from carillon.pause where job_id = $1 and until_at is null`,
      [jobId],
    );
    await resume('RUN_LAST', false, pause!.id);
    expect(await short()).toEqual(['PAUSED', 'PAUSED', 'PAUSED', 'PAUSED', 'PENDING']);
  });

  it('may be repeated, and runs nothing twice', async () => {
    const { resume, short } = await heldJob('ALLOW');
    await resume('RUN_LAST');
    expect((await resume('RUN_ALL')).changed).toBe(0);
    expect(await short()).toEqual(['PAUSED', 'PAUSED', 'PAUSED', 'PAUSED', 'PENDING']);
  });
});
