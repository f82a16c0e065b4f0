/**
 * Sends both ports of an instance what no caller should, for as long as asked:
 *
 *   npm run fuzz -- --seconds 600 --seed 7     ten minutes of it
 *   npm run fuzz -- --seed 7 --from 1234       again from the action that found something
 *
 * It has a Postgres and an instance of its own, ends with 1 when an answer was
 * not a documented one, a call got none, the instance complained or is gone, or
 * holds much more memory later on than in the beginning.
 */
import { parseArgs } from 'node:util';
import { InstanceProcess } from '../support/instance-process.ts';
import { startPostgres } from '../support/postgres-process.ts';
import { runRounds } from './rounds.ts';

/** How much more an instance may hold later on, in MiB: what it has cached, and what V8 has not given back. */
const growthMiB = 150;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    from: { type: 'string', default: '0' },
  },
});
const [seconds, seed, from] = [values.seconds, values.seed, values.from].map(Number) as [
  number,
  number,
  number,
];
const say = (text: string): void => void process.stdout.write(`${text}\n`);

say(`seed ${seed}, ${seconds} s, from action ${from}`);
const postgres = await startPostgres();
let isRight = false;
try {
  const env = { CARILLON_EGRESS_ALLOW: 'none' };
  const instance = await InstanceProcess.start({ databaseUrl: postgres.url, env });
  try {
    const endsAtMs = performance.now() + seconds * 1_000;
    const goesOn = (): boolean => performance.now() < endsAtMs;
    const { faults, actions, answers, memoryMiB } = await runRounds({ instance, seed, from, goesOn, say });
    for (const [answer, count] of [...answers].sort()) say(`${String(count).padStart(8)}  ${answer}`);
    for (const fault of faults) say(`FAULT ${fault}`);
    const grownMiB = memoryMiB.later - memoryMiB.first;
    say(`${actions} actions, ${faults.length} faults, ${grownMiB.toFixed(0)} MiB more than in the beginning`);
    isRight = faults.length === 0 && grownMiB < growthMiB;
  } finally {
    instance.close();
    await instance.ended;
  }
} finally {
  await postgres.remove();
}
process.exit(isRight ? 0 : 1);
