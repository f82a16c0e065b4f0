/**
 * No-op executions a second, drained from a queue that is full from the start,
 * beside pg-boss and graphile-worker on the same Postgres server.
 *
 * Each has a database of its own, which nobody else's rows are in and which is
 * dropped behind its round, and a process that has just started; Carillon has
 * two, because its worker is one of the user's. Rounds go in turn, each with
 * another of them first, and the best of each counts.
 *
 * The peers run at the best settings that were found for this work; the files
 * that drain them name those and what else was tried. What is compared is not
 * alike: Carillon's worker is told of each execution over gRPC and holds 2,000 at
 * most, and every execution and each of its attempts has a row that stays. The
 * peers' handlers run in the process that asks the database; pg-boss has 20,000
 * jobs out at once and keeps the completed ones, graphile-worker has 10,000 out
 * and deletes them.
 *
 * Carillon's time is the ledger's, from the first start to the last finish; a
 * peer's is its process's, from before its first fetch until its last end is
 * committed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import type { BenchDatabase } from '../support/bench-database.ts';
import { drainGraphileWorker, graphileWorkerSettings } from '../support/graphile-worker-drain.ts';
import { drainPgBoss, pgBossSettings } from '../support/pg-boss-drain.ts';
import { type Figure, whole } from '../support/statistics.ts';
import { drainThroughWorker, workerCapacity } from '../support/worker-drain.ts';

const executions = 100_000;
const rounds = 3;

type Contender = {
  readonly name: string;
  readonly settings: string;
  /** Executions a second. */
  readonly drain: (database: BenchDatabase, executions: number) => Promise<number>;
};

const carillon: Contender = {
  name: 'Carillon',
  settings: `one worker of capacity ${whole(workerCapacity)}; every execution and attempt kept`,
  drain: drainThroughWorker,
};

const contenders: readonly Contender[] = [
  carillon,
  { name: 'pg-boss', settings: pgBossSettings, drain: drainPgBoss },
  { name: 'graphile-worker', settings: graphileWorkerSettings, drain: drainGraphileWorker },
];

export async function measurePeers({ database, progress }: Bench): Promise<readonly Figure[]> {
  const rates = new Map(contenders.map((contender) => [contender, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    const first = round % contenders.length;
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      const rate = await contender.drain(database, executions);
      progress(`${contender.name}: ${whole(rate)} executions/s`);
      rates.get(contender)!.push(rate);
    }
  }
  const bestOf = (contender: Contender): number => Math.max(...rates.get(contender)!);
  const { devDependencies } = JSON.parse(
    readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8'),
  ) as { devDependencies: Readonly<Record<string, string>> };
  return contenders.map((contender) => {
    const { name, settings } = contender;
    const version = devDependencies[name];
    const ratio = (bestOf(contender) / bestOf(carillon)).toFixed(2);
    return {
      name: `no-op executions/s, ${name}${version ? ` ${version}` : ''}`,
      value: whole(bestOf(contender)),
      goal: '–',
      reached: undefined,
      note: contender === carillon ? settings : `${ratio}× Carillon; ${settings}`,
    };
  });
}
