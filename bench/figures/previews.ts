/**
 * How late the event loop of an instance is, leader and all, while a user previews 200 hard expressions, 1,000 fire
 * times each, then 10,000 random ones, and then a hundred hard ones at once as one job, 16 calls in flight. Beside it
 * the same instance without a call, and under as many calls that compute nothing (Get of a job that is not there): what
 * the machine does to it by itself. The leader has to keep its term throughout.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import type pg from 'pg';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { CronDialect } from '../../gen/carillon/v1/schedule_pb.js';
import type { Bench } from '../bench.ts';
import { callRaw, connect, eachOf, pathOf } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { hardest, type RareExpression, randomExpressions } from '../support/rare-expressions.ts';
import { ensure, type Figure, inMs, nowMs, whole } from '../support/statistics.ts';

const goalMs = 50;
const inFlight = 16;
const idleMs = 10_000;

const { get } = JobService.method;
const { input, output } = JobService.method.preview;

const scheduleOf = ({ expression, quartz, timeZone }: RareExpression, i: number) => ({
  name: `s${i}`,
  kind: {
    case: 'cron' as const,
    value: { expression, timeZone, dialect: quartz ? CronDialect.QUARTZ : CronDialect.UNIX },
  },
});

/** Previews; tells how many fire times there were, or that it was refused for what it asks. */
async function preview(client: Client, request: MessageInitShape<typeof input>): Promise<number | 'refused'> {
  try {
    const bytes = Buffer.from(toBinary(input, create(input, request)));
    const answer = await callRaw(client, pathOf(JobService.method.preview), bytes);
    return fromBinary(output, answer).fireTimes.length;
  } catch (error) {
    // INVALID_ARGUMENT: it is no expression, or never fires.
    if ((error as { code?: number }).code === 3) return 'refused';
    throw error;
  }
}

const termOf = async (ledger: pg.Client): Promise<number> =>
  Number((await ledger.query<{ term: string }>('select term from carillon.leader_lease')).rows[0]!.term);

export async function measurePreviews({ database, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_previews');
  const ledger = await database.connect(url);
  const carillon = await CarillonProcess.start(url, {}, { watchesLoop: true });
  const client = connect(carillon.grpc);
  try {
    // The code is compiled before anything counts.
    await eachOf(200, inFlight, async (i) => {
      await preview(client, { schedules: [scheduleOf(randomExpressions(200, 7)[i]!, 0)], count: 10 });
    });
    const term = await termOf(ledger);
    await carillon.takeLoopDelay();
    await sleep(idleMs);
    const idle = await carillon.takeLoopDelay();
    progress(`without a call: p99 ${inMs(idle.p99)}, most ${inMs(idle.max)}`);

    const missing = Buffer.from(
      toBinary(get.input, create(get.input, { job: { ref: { case: 'id', value: 1n } } })),
    );
    const until = nowMs() + idleMs;
    await eachOf(inFlight, inFlight, async () => {
      while (nowMs() < until) await callRaw(client, pathOf(get), missing).catch(() => undefined);
    });
    const busy = await carillon.takeLoopDelay();
    progress(`under calls of Get: p99 ${inMs(busy.p99)}, most ${inMs(busy.max)}`);

    const figures: Figure[] = [];
    const measure = async (
      name: string,
      requests: readonly MessageInitShape<typeof input>[],
    ): Promise<void> => {
      const beganMs = nowMs();
      let [fires, refused] = [0, 0];
      await eachOf(requests.length, inFlight, async (i) => {
        const found = await preview(client, requests[i]!);
        if (found === 'refused') refused++;
        else fires += found;
      });
      const { p99, max } = await carillon.takeLoopDelay();
      const done = `${whole(requests.length)} calls, ${refused} refused, ${whole(fires)} fire times`;
      const told = `p99 ${inMs(p99)}; ${done} in ${whole(nowMs() - beganMs)} ms`;
      progress(`${name}: most ${inMs(max)}, ${told}`);
      ensure((await termOf(ledger)) === term, 'the leader has lost its term');
      ensure(refused < requests.length, 'no preview was answered');
      figures.push({
        name: `event loop delay, ${name}, most`,
        value: inMs(max),
        goal: `< ${goalMs} ms`,
        reached: max < goalMs,
        note: `${told}; under Get p99 ${inMs(busy.p99)}, most ${inMs(busy.max)}`,
      });
    };
    await measure(
      '200 hard previews',
      hardest.map((each) => ({ schedules: [scheduleOf(each, 0)], count: 1_000 })),
    );
    await measure(
      '10,000 random previews',
      randomExpressions(10_000, 1).map((each) => ({ schedules: [scheduleOf(each, 0)], count: 10 })),
    );
    // The ones that fire, found alone first: one that never fires would have the whole job refused.
    const firing: RareExpression[] = [];
    for (const each of hardest) {
      if ((await preview(client, { schedules: [scheduleOf(each, 0)], count: 1 })) !== 'refused')
        firing.push(each);
    }
    await carillon.takeLoopDelay();
    await measure('previews of 100 hard schedules', [
      { schedules: firing.slice(0, 100).map(scheduleOf), count: 1_000 },
      { schedules: firing.slice(-100).map(scheduleOf), count: 1_000 },
    ]);
    return figures;
  } finally {
    client.close();
    await carillon.stop();
  }
}
