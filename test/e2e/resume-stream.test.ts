/** F29: stream clients that leave at random and come back with their cursor. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { awaitThat } from '../support/await-that.ts';
import { connectPg, type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';
import { StreamFollower } from '../support/stream-follower.ts';

/** So many lines each execution has, one every so many milliseconds. */
const lineCount = 400;
const lineMs = 4;

/** Numbers from 0 up to 1 that are the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe('a stream client that leaves at random and resumes by cursor', () => {
  const database = useTestDatabase();
  const callee = useRecordingCallee();
  const getRunner = useInstance(() => ({ databaseUrl: database.url }));
  const getOther = useInstance(() => ({ databaseUrl: database.url, env: { CARILLON_ROLES: 'api' } }));
  const seed = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
  let sql: pg.Client;
  let runner: InstanceProcess;
  let other: InstanceProcess;

  beforeAll(async () => {
    sql = await connectPg(database.url);
    runner = getRunner();
    other = getOther();
  });
  afterAll(() => sql.end());
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(`TEST_SEED=${seed}`);
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const jobRef = (name: string) => ({ ref: { case: 'key', value: { name } } }) as const;

  async function addAndTrigger(name: string, count: number): Promise<bigint[]> {
    await runner.jobs.add({ job: manualJob(name, callee.url(`/lines?count=${lineCount}&ms=${lineMs}`)) });
    const ids: bigint[] = [];
    for (let n = 0; n < count; n++)
      ids.push((await runner.jobs.trigger({ job: jobRef(name) })).execution!.id);
    return ids;
  }

  /** Follows in turns through both instances, a few messages at a time, until it is over; returns how often it left. */
  async function followInTurns(
    follower: StreamFollower,
    isOver: () => boolean,
    random: () => number,
    through: readonly InstanceProcess[] = [runner, other],
  ): Promise<number> {
    const clients = through.map((instance) => instance.connect());
    for (let turns = 0; ; turns++) {
      const until = follower.count + 1 + Math.floor(random() * 40);
      const client = clients[Math.floor(random() * clients.length)]!;
      const ended = await follower.follow(client, () => isOver() || follower.count >= until);
      if (ended || isOver()) return turns;
    }
  }

  function expectExactlyOnce(follower: StreamFollower, ids: readonly bigint[]): void {
    const wanted = Array.from({ length: lineCount }, (_, i) => i + 1);
    const seqs = follower.seqsByExecution();
    expect(follower.shown.filter((item) => item.kind === 'gap')).toEqual([]);
    for (const id of ids.map(Number)) {
      expect(seqs.get(id), `lines of ${id}`).toEqual(wanted);
      const own = follower.shown.filter((item) => item.executionId === id);
      // Nothing follows the final state, which is shown once.
      expect(own.at(-1)).toMatchObject({ kind: 'state' });
      expect(follower.finished().filter((finished) => finished === id)).toHaveLength(1);
      const states = own
        .filter((item) => item.kind === 'state')
        .map((item) => item.kind === 'state' && item.state);
      expect(states).toEqual([...new Set(states)].toSorted());
    }
    expect([...seqs.keys()].toSorted()).toEqual(ids.map(Number).toSorted());
  }

  it('sees each line of one execution once, in order, and its final state last, whichever instance it asks (I17, I18)', async () => {
    const random = randomFrom(seed);
    const [id] = await addAndTrigger('single', 1);
    const followers = Array.from({ length: 3 }, () => {
      const follower = new StreamFollower({ source: { case: 'executionId', value: id! } });
      return { follower, turns: followInTurns(follower, () => false, random) };
    });
    for (const { follower, turns } of followers) {
      console.log(`single: left ${await turns} times`);
      expectExactlyOnce(follower, [id!]);
    }
  });

  it('sees each line of a job’s coming executions once, in order, and each final state last (I17, I18, I19)', async () => {
    const random = randomFrom(seed + 1);
    const name = 'job';
    await runner.jobs.add({ job: manualJob(name, callee.url(`/lines?count=${lineCount}&ms=${lineMs}`)) });
    const follower = new StreamFollower({ source: { case: 'job', value: jobRef(name) } });
    const ids: bigint[] = [];
    // The first one is open when the stream begins, the others come while it runs.
    ids.push((await runner.jobs.trigger({ job: jobRef(name) })).execution!.id);
    const turns = followInTurns(follower, () => follower.finished().length === 4, random);
    for (let n = 0; n < 3; n++) {
      await callee.awaitHit('the run before', (hit) => hit.executionId === Number(ids.at(-1)));
      ids.push((await runner.jobs.trigger({ job: jobRef(name) })).execution!.id);
    }
    console.log(`job: left ${await turns} times`);
    expectExactlyOnce(follower, ids);
  });

  it('goes on through another instance when its own is killed (F1, I18)', async () => {
    const ids = await addAndTrigger('killed', 2);
    const follower = new StreamFollower({ source: { case: 'job', value: jobRef('killed') } });
    const isOver = (): boolean => follower.finished().length === 2;
    const following = follower.follow(other, isOver);
    await callee.awaitHit('the run', (hit) => hit.job === 'killed');
    await awaitThat('the stream is under way', () => follower.count >= 100);
    other.kill('SIGKILL');
    expect(await following).toBe(false);
    await followInTurns(follower, isOver, randomFrom(seed + 2), [runner]);
    expectExactlyOnce(follower, ids);
  });
});
