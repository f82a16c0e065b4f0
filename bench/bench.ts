/**
 * Measures Carillon end to end, each process in a process of its own, beside
 * what the same Postgres does without it.
 *
 *   npm run bench                      every figure, about seventeen minutes, five of them for `million`
 *   npm run bench -- triggers herd     some of them
 *   BENCH_NODE_FLAGS=--cpu-prof        reaches the Carillon processes
 *
 * The server is embedded with its production settings (fsync on) in a folder
 * under the system's one for temporary files; that must not be a tmpfs. It
 * fails when an execution did not succeed or a row is missing. The best of a
 * few rounds counts, because others may use the machine.
 */
import { cpus } from 'node:os';
import { measureAccessCost } from './figures/access-cost.ts';
import { measureDatabaseLimit } from './figures/database-limit.ts';
import { measureExecutions } from './figures/executions.ts';
import { measureHerd } from './figures/herd.ts';
import { measureLateness } from './figures/lateness.ts';
import { measureLogs } from './figures/logs.ts';
import { measureMillionJobs } from './figures/million-jobs.ts';
import { measureNeighbour } from './figures/neighbour.ts';
import { measureNextFire } from './figures/next-fire.ts';
import { measureNotFound } from './figures/not-found.ts';
import { measurePeers } from './figures/peers.ts';
import { measurePreviews } from './figures/previews.ts';
import { measureTriggers } from './figures/triggers.ts';
import { measureWorkerLateness } from './figures/worker-lateness.ts';
import { measureWorkers } from './figures/workers.ts';
import { BenchDatabase } from './support/bench-database.ts';
import { Callee } from './support/callee.ts';
import type { Figure } from './support/statistics.ts';

/** What every figure is measured with. */
export type Bench = {
  readonly database: BenchDatabase;
  readonly callee: Callee;
  readonly progress: (text: string) => void;
};

const measures: Readonly<Record<string, (bench: Bench) => Promise<readonly Figure[]>>> = {
  limit: measureDatabaseLimit,
  triggers: measureTriggers,
  executions: measureExecutions,
  workers: measureWorkers,
  peers: measurePeers,
  lateness: measureLateness,
  'worker-lateness': measureWorkerLateness,
  herd: measureHerd,
  logs: measureLogs,
  'next-fire': measureNextFire,
  previews: measurePreviews,
  neighbour: measureNeighbour,
  'not-found': measureNotFound,
  access: measureAccessCost,
  million: measureMillionJobs,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in measures));
if (unknown.length > 0) {
  process.stderr.write(`unknown: ${unknown.join(', ')}; there are ${Object.keys(measures).join(', ')}\n`);
  process.exit(2);
}

const database = await BenchDatabase.start();
const callee = await Callee.start();
const figures: Figure[] = [];
try {
  for (const [name, measure] of Object.entries(measures)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    const progress = (text: string): void => void process.stdout.write(`${name.padEnd(15)} ${text}\n`);
    figures.push(...(await measure({ database, callee, progress })));
  }
} finally {
  callee.close();
  await database.close();
}
process.stdout.write(`\n${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'})\n`);
for (const { name, value, goal, reached, note } of figures) {
  const mark = reached === undefined ? ' ' : reached ? '✓' : '✗';
  process.stdout.write(`${mark} ${name.padEnd(46)} ${value.padStart(9)}  ${goal.padEnd(10)}  ${note}\n`);
}
