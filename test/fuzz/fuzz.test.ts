/** The short form of `npm run fuzz`: some rounds against a real instance, whatever the seed. */
import { expect, it } from 'vitest';
import { inspectorFlag } from '../support/held-memory.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { seedOf } from '../support/seeded-random.ts';
import { growthOf, operatorFlags, warmUpRounds } from './memory.ts';
import { runRounds } from './rounds.ts';

/** About a quarter of a minute on two cores, and longer than tests usually may where others have them, too. */
const rounds = 10;
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
  const result = await runRounds({
    instance: instance(),
    seed: seedOf('fuzz'),
    goesOn: (round) => round < rounds,
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
