/**
 * What the adapter, the chain and the conversions cost a unary call, against a
 * bare grpc-js handler and against connect-node on HTTP/2.
 *
 *   node bench/unary-overhead.ts [seconds per round, default 2] [rounds, default 3]
 *
 * Each server is a process of its own and answers the same Trigger by key
 * without touching a database; the client is this process: one connection, 64
 * calls in flight, in rounds that visit the servers in turn, so that whatever
 * else the machine does strikes all of them. The bare handler decodes the same
 * request and encodes a ready-made response, under the same channel options.
 * Rule to hold: ours reaches at least 80 % of bare. The last line times the
 * validation of one Trigger inside this process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Client, credentials, Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import {
  JobService,
  JobServiceTriggerRequestSchema,
  type JobServiceTriggerResponse,
  JobServiceTriggerResponseSchema,
} from '../gen/carillon/v1/job_service_pb.js';
import type { Execution } from '../src/domain/execution.ts';
import type { JobOperations, Operations } from '../src/engine/operations.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createLogger } from '../src/platform/logger.ts';
import { noMetrics } from '../src/platform/metrics.ts';
import { createChain } from '../src/rpc/chain.ts';
import { bufferOf } from '../src/rpc/grpc-call.ts';
import { GrpcServer } from '../src/rpc/grpc-server.ts';
import { executionToMessage } from '../src/rpc/messages/execution.ts';
import { createServices } from '../src/rpc/services/services.ts';

const inFlight = 64;
const path = '/carillon.v1.JobService/Trigger';
const key = { namespace: 'team', group: 'reports', name: 'nightly-report' };
const request = create(JobServiceTriggerRequestSchema, { job: { ref: { case: 'key', value: key } } });

const execution: Execution = {
  id: 1_234_567_890,
  jobId: 987_654_321,
  jobKey: key,
  schedule: '',
  cause: 'MANUAL',
  fireAt: new Date(0),
  createdAt: new Date(0),
  state: 'PENDING',
  message: '',
  attempt: 0,
  priority: 0,
  term: 0,
  waitingFor: '',
  skippedCount: 0,
};

const response: JobServiceTriggerResponse = {
  $typeName: 'carillon.v1.JobServiceTriggerResponse',
  execution: executionToMessage(execution),
  replayed: false,
};

/** Nothing is refused. */
const refusals = { record: () => undefined };

/** Operations that answer a Trigger at once; nothing else is asked. */
const operations: Operations = {
  jobs: {
    trigger: () => Promise.resolve({ execution, replayed: false }),
  } as Partial<JobOperations> as JobOperations,
  executions: {} as Operations['executions'],
  calendars: {} as Operations['calendars'],
  secrets: {} as Operations['secrets'],
  namespaces: {} as Operations['namespaces'],
  tokens: {} as Operations['tokens'],
  workers: {} as Operations['workers'],
  attempts: {} as Operations['attempts'],
  audit: {} as Operations['audit'],
  ready: () => Promise.resolve(),
};

const servers: Readonly<Record<string, () => Promise<number>>> = {
  async bare() {
    const server = new Server({ 'grpc.enable_channelz': 0, 'grpc.max_concurrent_streams': 1_000 });
    const definition = {
      trigger: {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: (value: Buffer) => value,
        requestDeserialize: (bytes: Buffer) => fromBinary(JobServiceTriggerRequestSchema, bytes),
        responseSerialize: (value: MessageShape<typeof JobServiceTriggerResponseSchema>) =>
          bufferOf(toBinary(JobServiceTriggerResponseSchema, value)),
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    };
    server.addService(definition, {
      trigger: (_call: unknown, answer: sendUnaryData<JobServiceTriggerResponse>) => answer(null, response),
    });
    return new Promise((resolve) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => resolve(port)),
    );
  },

  async ours() {
    const services = createServices(operations);
    const logger = createLogger({ level: 'info' });
    const chain = createChain({ clock: systemClock, logger, metrics: noMetrics, services, refusals });
    const { ready } = operations;
    const server = new GrpcServer({
      address: '127.0.0.1:0',
      services,
      chain,
      ready,
      clock: systemClock,
      logger,
    });
    await server.start();
    return Number(server.address.split(':').at(-1));
  },

  async connect() {
    const server = createServer(
      connectNodeAdapter({ routes: (router) => router.rpc(JobService.method.trigger, () => response) }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  },
};

const [role = '2', rounds = '3'] = process.argv.slice(2);
const serve = servers[role];
if (serve === undefined) await compare(Number(role), Number(rounds));
else {
  process.send?.(await serve());
  process.on('message', () => process.send?.(process.cpuUsage()));
}

async function compare(seconds: number, rounds: number): Promise<void> {
  const runs = await Promise.all(Object.keys(servers).map(startServer));
  for (const run of runs) await measure(run, 1_000);
  for (const run of runs) run.rounds = [];
  for (let round = 0; round < rounds; round++) {
    for (const run of runs) await measure(run, seconds * 1_000);
  }
  const bare = runs.find(({ name }) => name === 'bare')?.rounds ?? [];
  for (const { name, rounds } of runs) {
    const rate = median(rounds.map((round) => round.rate));
    const cpu = median(rounds.map((round) => round.cpuMicros));
    const rateShare = rate / median(bare.map((round) => round.rate));
    const cpuShare = median(bare.map((round) => round.cpuMicros)) / cpu;
    console.log(
      `${name.padEnd(8)} ${rate.toFixed(0).padStart(6)} calls/s (${percent(rateShare)} of bare)` +
        `  ${cpu.toFixed(0).padStart(4)} µs of CPU a call (${percent(cpuShare)} of bare's rate on a core of its own)`,
    );
  }
  console.log(`validation of one Trigger: ${timeValidation().toFixed(1)} µs`);
  for (const { client, child } of runs) {
    client.close();
    child.kill();
  }
}

type Round = { readonly rate: number; readonly cpuMicros: number };
type Run = { readonly name: string; readonly child: ChildProcess; readonly client: Client; rounds: Round[] };

async function startServer(name: string): Promise<Run> {
  const child = fork(import.meta.filename, [name]);
  const [port] = await once(child, 'message');
  return { name, child, client: new Client(`127.0.0.1:${port}`, credentials.createInsecure()), rounds: [] };
}

/** The CPU that a server has used, in microseconds; unlike the rate it does not depend on who else is at work. */
async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu');
  const [{ user, system }] = (await once(child, 'message')) as [NodeJS.CpuUsage];
  return user + system;
}

async function measure(run: Run, ms: number): Promise<void> {
  const before = await cpuOf(run.child);
  const { calls, tookMs } = await callFor(run.client, ms);
  const after = await cpuOf(run.child);
  run.rounds.push({ rate: (calls / tookMs) * 1_000, cpuMicros: (after - before) / calls });
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Calls with a steady number in flight. */
async function callFor(client: Client, ms: number): Promise<{ calls: number; tookMs: number }> {
  const bytes = bufferOf(toBinary(JobServiceTriggerRequestSchema, request));
  const startedMs = systemClock.monotonicMs();
  let calls = 0;
  const keepCalling = async (): Promise<void> => {
    while (systemClock.monotonicMs() - startedMs < ms) {
      await new Promise<void>((resolve, reject) =>
        client.makeUnaryRequest(path, same, same, bytes, (error) => (error ? reject(error) : resolve())),
      );
      calls++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, keepCalling));
  return { calls, tookMs: systemClock.monotonicMs() - startedMs };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Microseconds that the checks of the chain take for one Trigger. */
function timeValidation(): number {
  const services = createServices(operations);
  const logger = createLogger({ level: 'silent' });
  const chain = createChain({ clock: systemClock, logger, metrics: noMetrics, services, refusals });
  const method = services[0]?.methods.find(({ name }) => path.endsWith(name));
  const call = { method } as Parameters<NonNullable<(typeof chain)[number]['check']>>[0];
  const repeat = (times: number): void => {
    for (let i = 0; i < times; i++) for (const interceptor of chain) interceptor.check?.(call, request);
  };
  repeat(20_000);
  const startedMs = systemClock.monotonicMs();
  repeat(50_000);
  return ((systemClock.monotonicMs() - startedMs) * 1_000) / 50_000;
}
