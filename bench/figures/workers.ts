/** No-op executions per second through one worker in a process of its own, with a queue that is full from the start. */
import type { Bench } from '../bench.ts';
import { type Figure, whole } from '../support/statistics.ts';
import { drainThroughWorker, workerCapacity } from '../support/worker-drain.ts';

const goal = 20_000;
const executions = 100_000;
const rounds = 2;

export async function measureWorkers({ database, progress }: Bench): Promise<readonly Figure[]> {
  let best = 0;
  let limited = 0;
  for (let round = 0; round < rounds; round++) {
    const rate = await drainThroughWorker(database, executions);
    progress(`${whole(rate)} executions/s`);
    best = Math.max(best, rate);
    const limitedRate = await drainThroughWorker(database, executions, workerCapacity);
    progress(`${whole(limitedRate)} executions/s under max_running of the queue`);
    limited = Math.max(limited, limitedRate);
  }
  return [
    {
      name: 'no-op executions/s through one worker',
      value: whole(best),
      goal: `≥ ${whole(goal)}`,
      reached: best >= goal,
      note: `${whole(executions)} waiting, capacity ${whole(workerCapacity)}`,
    },
    {
      name: 'the same in a queue with max_running',
      value: whole(limited),
      goal: '–',
      reached: undefined,
      note: `${(limited / best).toFixed(2)}× without; max_running ${whole(workerCapacity)}`,
    },
  ];
}
