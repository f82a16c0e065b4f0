/**
 * What access control costs: calls of Get a second, 64 in flight over one connection, without it, with an API token and
 * with a JWT, in turns within one run. And how long tokens with unknown key ids take, the first and the last of 5,000.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { type Client, Metadata } from '@grpc/grpc-js';
import { SignJWT } from 'jose';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { JsonWebTokens } from '../../src/engine/access/json-web-tokens.ts';
import { createKeySet } from '../../src/engine/access/key-set.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import type { Bench } from '../bench.ts';
import { addJobs, bearer, callRaw, connect, pathOf } from '../support/calls.ts';
import { CarillonProcess } from '../support/carillon.ts';
import { ensure, type Figure, nowMs, quantile, whole } from '../support/statistics.ts';

const inFlight = 64;
const roundMs = 3_000;
const rounds = 5;
const unknownTokens = 5_000;
const issuer = 'https://issuer.example';
const audience = 'carillon-bench';

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = { keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256', use: 'sig' }] };

const sign = (): Promise<string> =>
  new SignJWT({ carillon: { '*': 'admin' } })
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('bench')
    .setExpirationTime('1h')
    .sign(keys.privateKey);

export async function measureAccessCost(bench: Bench): Promise<readonly Figure[]> {
  return [...(await measureCalls(bench)), await measureUnknownKeys(bench)];
}

async function measureCalls({ database, progress }: Bench): Promise<readonly Figure[]> {
  const url = await database.create('bench_access');
  const folder = await mkdtemp(join(tmpdir(), 'carillon-bench-keys-'));
  const keysFile = join(folder, 'jwks.json');
  await writeFile(keysFile, JSON.stringify(jwks));
  const open = await CarillonProcess.start(url, { CARILLON_ROLES: 'api' });
  const closed = await CarillonProcess.start(url, {
    CARILLON_ROLES: 'api',
    CARILLON_ACCESS_CONTROL: 'true',
    CARILLON_JWT_ISSUER: issuer,
    CARILLON_JWT_AUDIENCE: audience,
    CARILLON_JWT_KEYS_FILE: keysFile,
  });
  const [openClient, closedClient] = [connect(open.grpc), connect(closed.grpc)];
  try {
    const target = { kind: { case: 'worker' as const, value: { queue: 'q' } } };
    const [id] = await addJobs(openClient, 1, () => ({ key: { name: 'job' }, target }));
    const { get } = JobService.method;
    const bytes = Buffer.from(
      toBinary(get.input, create(get.input, { job: { ref: { case: 'id', value: id! } } })),
    );
    const rateOf = async (client: Client, metadata: Metadata): Promise<number> => {
      const beganMs = nowMs();
      let calls = 0;
      const keepCalling = async (): Promise<void> => {
        while (nowMs() - beganMs < roundMs) {
          await callRaw(client, pathOf(get), bytes, metadata);
          calls++;
        }
      };
      await Promise.all(Array.from({ length: inFlight }, keepCalling));
      return (calls / (nowMs() - beganMs)) * 1_000;
    };
    const variants = [
      { name: 'off', client: openClient, metadata: new Metadata(), best: 0, rates: [] as number[] },
      {
        name: 'token',
        client: closedClient,
        metadata: bearer(closed.firstToken),
        best: 0,
        rates: [] as number[],
      },
      { name: 'JWT', client: closedClient, metadata: bearer(await sign()), best: 0, rates: [] as number[] },
    ];
    for (const { client, metadata } of variants) await rateOf(client, metadata);
    for (let round = 0; round < rounds; round++) {
      for (const variant of variants) variant.rates.push(await rateOf(variant.client, variant.metadata));
      progress(variants.map(({ name, rates }) => `${name} ${whole(rates.at(-1)!)}/s`).join(', '));
    }
    const [off, ...on] = variants;
    return on.map(({ name, rates }) => {
      // Neighbours on the machine come and go: what was measured one after the other is compared.
      const ratio = quantile(
        rates.map((rate, i) => rate / off!.rates[i]!),
        0.5,
      );
      return {
        name: `Get calls/s with a ${name}, beside without access control`,
        value: ratio.toFixed(2),
        goal: '',
        reached: undefined,
        note: `median of ${rounds} rounds; best ${whole(Math.max(...rates))} and ${whole(Math.max(...off!.rates))}/s`,
      };
    });
  } finally {
    openClient.close();
    closedClient.close();
    await Promise.all([open.stop(), closed.stop()]);
    await rm(folder, { recursive: true });
  }
}

async function measureUnknownKeys({ progress }: Bench): Promise<Figure> {
  let fetches = 0;
  const server = createServer((_request, response) => {
    fetches++;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const logger = createLogger({ level: 'warn' });
  const tokens = new JsonWebTokens({
    rules: {
      issuer,
      audience,
      algorithms: ['ES256'],
      type: 'at+jwt',
      toleranceMs: 30_000,
      claim: 'carillon',
    },
    keys: createKeySet({ url }, { clock: systemClock, logger }),
    clock: systemClock,
    logger,
  });
  const [, payload, signature] = (await sign()).split('.');
  const took: number[] = [];
  for (let n = 0; n < unknownTokens; n++) {
    const header = JSON.stringify({ alg: 'ES256', kid: `random ${n}`, typ: 'at+jwt' });
    const text = `${Buffer.from(header).toString('base64url')}.${payload}.${signature}`;
    const beganMs = performance.now();
    ensure((await tokens.find(text)) === undefined, 'a token with an unknown key was believed');
    took.push(performance.now() - beganMs);
  }
  server.close();
  server.closeAllConnections();
  ensure(fetches === 1, `the keys were fetched ${fetches} times`);
  const told = (part: readonly number[]): string =>
    `p50 ${Math.round(quantile(part, 0.5) * 1_000)} µs, p99 ${Math.round(quantile(part, 0.99) * 1_000)} µs`;
  const [first, last] = [took.slice(0, 1_000), took.slice(-1_000)];
  progress(`unknown key ids: the first 1,000 ${told(first)}; the last ${told(last)}`);
  return {
    name: 'tokens with unknown key ids, last 1,000, p99',
    value: `${Math.round(quantile(last, 0.99) * 1_000)} µs`,
    goal: '',
    reached: undefined,
    note: `first 1,000 of 5,000: ${told(first)}; last: ${told(last)}; one fetch`,
  };
}
