/**
 * Sends both ports of an instance what no caller should, for as long as asked:
 *
 *   npm run fuzz -- --seconds 600 --seed 7     ten minutes of it
 *   npm run fuzz -- --seed 7 --from 1234       again from the action that found something
 *
 * It has a Postgres and an instance of its own, ends with 1 when an answer was
 * not a documented one, a call got none, the instance complained or is gone, or
 * grows (memory.ts). What is held is weighed at each quarter of the time.
 */
import { parseArgs } from 'node:util';
import { inspectorFlag } from '../support/held-memory.ts';
import { InstanceProcess } from '../support/instance-process.ts';
import { startPostgres } from '../support/postgres-process.ts';
import { describeMemory, growthOf, operatorFlags, warmUpRounds } from './memory.ts';
import { runRounds } from './rounds.ts';

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
  const nodeFlags = [...operatorFlags, inspectorFlag];
  const instance = await InstanceProcess.start({ databaseUrl: postgres.url, env, nodeFlags });
  try {
    const startedMs = performance.now();
    const shareGone = (): number => (performance.now() - startedMs) / (seconds * 1_000);
    let quarters = 0;
    const isWeighed = (round: number): boolean => {
      const gone = Math.floor(shareGone() * 4);
      if (round + 1 < warmUpRounds || gone === quarters) return false;
      quarters = gone;
      return true;
    };
    const goesOn = (): boolean => shareGone() < 1;
    const rounds = await runRounds({ instance, seed, from, goesOn, isWeighed, say });
    const { actions, answers, memory } = rounds;
    const faults = rounds.faults.length > 0 ? rounds.faults : growthOf(memory);
    for (const [answer, count] of [...answers].sort()) say(`${String(count).padStart(8)}  ${answer}`);
    for (const fault of faults) say(`FAULT ${fault}`);
    say(`${actions} actions, ${faults.length} faults, ${describeMemory(memory)}`);
    isRight = faults.length === 0;
  } finally {
    instance.close();
    await instance.ended;
  }
} finally {
  await postgres.remove();
}
process.exit(isRight ? 0 : 1);
