/** The short form of `npm run fuzz`: half a minute of rounds against a real instance, whatever the seed. */
import { expect, it } from 'vitest';
import { inspectorFlag } from '../support/held-memory.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { seedOf } from '../support/seeded-random.ts';
import { growthOf, operatorFlags, warmUpRounds } from './memory.ts';
import { runRounds } from './rounds.ts';

/** Half a minute, and no fewer rounds than it takes to see growth where others have the cores, too. */
const spanMs = 30_000;
const fewestRounds = 10;
const timeout = 120_000;

const database = useTestDatabase();
const instance = useInstance(() => ({
  databaseUrl: database.url,
  env: { CARILLON_EGRESS_ALLOW: 'none' },
  nodeFlags: [...operatorFlags, inspectorFlag],
}));

it('whatever is sent, each call gets a documented answer, and the instance serves on without growing', {
  timeout,
}, async () => {
  const startedMs = performance.now();
  const result = await runRounds({
    instance: instance(),
    seed: seedOf('fuzz'),
    goesOn: (round) => round < fewestRounds || performance.now() - startedMs < spanMs,
    isWeighed: (round) => round + 1 === warmUpRounds,
  });
  expect(result.faults).toEqual([]);
  // Not all of it is refused at the door.
  expect(result.answers.get('ok')).toBeGreaterThan(0);
  expect(result.answers.get('gRPC 0')).toBeGreaterThan(0);
  expect(result.answers.get('gRPC 3')).toBeGreaterThan(0);
  expect(result.memory.held).toHaveLength(2);
  expect(growthOf(result.memory)).toEqual([]);
});
