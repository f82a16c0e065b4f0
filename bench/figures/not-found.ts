/**
 * Whether the time of a refusal tells that another tenant has a job: 20,000 calls of Get, one after the other, with a
 * token of one namespace, by turns for a job of another namespace and for an id that names none. Told are the medians
 * and how far apart the two samples are by ranks (Mann and Whitney's test; beyond 2.6 would come about by chance once
 * in a hundred runs), and, for what an attacker can make of it, the share of pairs in which the foreign one took longer.
 */
import type { Client, Metadata } from '@grpc/grpc-js';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import type { Bench } from '../bench.ts';
import { bearer, call, connect } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { ensure, type Figure, quantile } from '../support/statistics.ts';

const calls = 20_000;
const warmCalls = 2_000;
const jobs = 100;
const notFound = 5;

export async function measureNotFound({ database, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_not_found');
  const carillon = await CarillonProcess.start(url, { CARILLON_ACCESS_CONTROL: 'true' });
  const client = connect(carillon.grpc);
  try {
    const root = bearer(carillon.firstToken);
    for (const name of ['own', 'foreign'])
      await call(client, AdminService.method.createNamespace, { namespace: { name } }, root);
    const grants = [{ namespace: 'own', role: Role.EDITOR }];
    const wish = { token: { name: 'tenant', grants } };
    const { text } = await call(client, AdminService.method.createToken, wish, root);
    const foreign: bigint[] = [];
    for (let n = 0; n < jobs; n++) {
      const key = { namespace: 'foreign', name: `job-${n}` };
      const target = { kind: { case: 'worker' as const, value: { queue: 'q' } } };
      const { job } = await call(client, JobService.method.add, { job: { key, target } }, root);
      foreign.push(job!.id);
    }
    // As near to the others as ids can be, because their length is in the request.
    const taken = new Set(foreign);
    const missing = foreign.map((id) => {
      let free = id + 1n;
      while (taken.has(free)) free++;
      return free;
    });
    const tenant = bearer(text);
    const took = { foreign: [] as number[], missing: [] as number[] };
    for (let n = 0; n < warmCalls + calls; n++) {
      const isForeign = Math.random() < 0.5;
      const id = (isForeign ? foreign : missing)[n % jobs]!;
      const ms = await timeOf(client, id, tenant);
      if (n >= warmCalls) (isForeign ? took.foreign : took.missing).push(ms);
    }
    const [ofForeign, ofMissing] = [quantile(took.foreign, 0.5), quantile(took.missing, 0.5)];
    const { z, share } = compareRanks(took.foreign, took.missing);
    const medians = `medians ${us(ofForeign)} foreign, ${us(ofMissing)} missing`;
    const told = `${medians}; p99 ${us(quantile(took.foreign, 0.99))}, ${us(quantile(took.missing, 0.99))}`;
    progress(`${told}; z ${z.toFixed(2)}, foreign longer in ${(share * 100).toFixed(1)} % of pairs`);
    return [
      {
        name: "another tenant's job beside a missing one, |z|",
        value: Math.abs(z).toFixed(2),
        goal: '< 2.6',
        reached: Math.abs(z) < 2.6,
        note: `${told}; foreign longer in ${(share * 100).toFixed(1)} % of pairs`,
      },
    ];
  } finally {
    client.close();
    await carillon.stop();
  }
}

async function timeOf(client: Client, id: bigint, metadata: Metadata): Promise<number> {
  const beganMs = performance.now();
  const code = await call(
    client,
    JobService.method.get,
    { job: { ref: { case: 'id', value: id } } },
    metadata,
  ).then(
    () => 0,
    (error: { code?: number }) => error.code,
  );
  const tookMs = performance.now() - beganMs;
  ensure(code === notFound, `Get of a job out of sight answered with code ${code}`);
  return tookMs;
}

/** Mann and Whitney's test by its normal approximation: z, and the share of pairs in which the first is longer. */
function compareRanks(
  a: readonly number[],
  b: readonly number[],
): { readonly z: number; readonly share: number } {
  const all = [...a.map((ms) => ({ ms, isA: true })), ...b.map((ms) => ({ ms, isA: false }))];
  all.sort((x, y) => x.ms - y.ms);
  // Times have fractions of a microsecond: ties are too few to matter.
  const rankSum = all.reduce((sum, { isA }, i) => sum + (isA ? i + 1 : 0), 0);
  const u = rankSum - (a.length * (a.length + 1)) / 2;
  const pairs = a.length * b.length;
  const deviation = Math.sqrt((pairs * (a.length + b.length + 1)) / 12);
  return { z: (u - pairs / 2) / deviation, share: u / pairs };
}

const us = (ms: number): string => `${Math.round(ms * 1_000)} µs`;
