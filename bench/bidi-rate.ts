/**
 * What the adapter, the chain and the iterators cost a message of a stream both
 * ways, against a bare grpc-js handler, and what the HTTP port makes of it.
 *
 *   node bench/bidi-rate.ts [seconds per round, default 2] [rounds, default 3] [results per message, default 1]
 *
 * Each server is a process of its own and answers every message of a worker's
 * results with one acknowledgement; the client is this process, with one stream
 * and 256 messages on their way, in rounds that visit the servers in turn, so
 * that whatever else the machine does strikes all of them. The bare handler
 * decodes the same messages and encodes the same answers. Rule to hold: ours
 * reaches at least 80 % of bare.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { ExecutionState } from '../gen/carillon/v1/execution_pb.js';
import {
  WorkerService,
  type WorkerServiceConnectRequest,
  WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
  WorkerServiceConnectResponseSchema,
} from '../gen/carillon/v1/worker_service_pb.js';
import { systemClock } from '../src/platform/clock.ts';
import { createLogger } from '../src/platform/logger.ts';
import { noMetrics } from '../src/platform/metrics.ts';
import { createChain } from '../src/rpc/chain.ts';
import { bufferOf } from '../src/rpc/grpc-call.ts';
import { GrpcServer } from '../src/rpc/grpc-server.ts';
import { HttpServer } from '../src/rpc/http-server.ts';
import { bindService } from '../src/rpc/services/service.ts';

const inFlight = 256;
const path = '/carillon.v1.WorkerService/Connect';

/** The answer to a message of results. */
function acknowledge({ message }: WorkerServiceConnectRequest): WorkerServiceConnectResponse {
  const results = message.case === 'results' ? message.value.results : [];
  return {
    $typeName: 'carillon.v1.WorkerServiceConnectResponse',
    message: {
      case: 'ack',
      value: {
        $typeName: 'carillon.v1.WorkerAck',
        attempts: results.map(({ executionId, attempt }) => ({
          $typeName: 'carillon.v1.AttemptRef',
          executionId,
          attempt,
        })),
      },
    },
  };
}

const services = [
  bindService(WorkerService, {
    async *connect(requests) {
      for await (const request of requests) yield acknowledge(request);
    },
    list: () =>
      Promise.resolve({ $typeName: 'carillon.v1.WorkerServiceListResponse', workers: [], nextPageToken: '' }),
  }),
];

/** What our servers are made with. */
function options() {
  const logger = createLogger({ level: 'info' });
  const refusals = { record: () => undefined };
  const chain = createChain({ clock: systemClock, logger, metrics: noMetrics, services, refusals });
  const ready = (): Promise<void> => Promise.resolve();
  return { address: '127.0.0.1:0', services, chain, ready, clock: systemClock, logger };
}

const servers: Readonly<Record<string, () => Promise<number>>> = {
  async bare() {
    const server = new Server({ 'grpc.enable_channelz': 0, 'grpc.max_concurrent_streams': 1_000 });
    const definition = {
      connect: {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: same,
        requestDeserialize: (bytes: Buffer) => fromBinary(WorkerServiceConnectRequestSchema, bytes),
        responseSerialize: (response: WorkerServiceConnectResponse) =>
          bufferOf(toBinary(WorkerServiceConnectResponseSchema, response)),
        responseDeserialize: same,
      },
    };
    server.addService(definition, {
      connect(call: ServerDuplexStream<WorkerServiceConnectRequest, WorkerServiceConnectResponse>) {
        call.on('data', (request) => {
          if (call.write(acknowledge(request))) return;
          call.pause();
          call.once('drain', () => call.resume());
        });
        call.on('end', () => call.end());
      },
    });
    return new Promise((resolve) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, port) => resolve(port)),
    );
  },

  async ours() {
    const server = new GrpcServer(options());
    await server.start();
    return Number(server.address.split(':').at(-1));
  },

  async http() {
    const server = new HttpServer(options());
    await server.start();
    return Number(server.address.split(':').at(-1));
  },
};

const [role = '2', rounds = '3', batch = '1'] = process.argv.slice(2);
const serve = servers[role];
if (serve === undefined) await compare(Number(role), Number(rounds), Number(batch));
else {
  process.send?.(await serve());
  process.on('message', () => process.send?.(process.cpuUsage()));
}

async function compare(seconds: number, rounds: number, batch: number): Promise<void> {
  const runs = await Promise.all(Object.keys(servers).map(startServer));
  for (const run of runs) await measure(run, 1_000, batch);
  for (const run of runs) run.rounds = [];
  for (let round = 0; round < rounds; round++) {
    for (const run of runs) await measure(run, seconds * 1_000, batch);
  }
  const bare = runs.find(({ name }) => name === 'bare')?.rounds ?? [];
  for (const { name, rounds } of runs) {
    const rate = median(rounds.map((round) => round.rate));
    const cpu = median(rounds.map((round) => round.cpuMicros));
    const rateShare = rate / median(bare.map((round) => round.rate));
    const cpuShare = median(bare.map((round) => round.cpuMicros)) / cpu;
    console.log(
      `${name.padEnd(5)} ${rate.toFixed(0).padStart(6)} messages/s (${percent(rateShare)} of bare)` +
        `  ${cpu.toFixed(1).padStart(5)} µs of CPU a message (${percent(cpuShare)} of bare's rate on a core of its own)`,
    );
  }
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

async function measure(run: Run, ms: number, batch: number): Promise<void> {
  const before = await cpuOf(run.child);
  const { messages, tookMs } = await talkFor(run.client, ms, batch);
  const after = await cpuOf(run.child);
  run.rounds.push({ rate: (messages / tookMs) * 1_000, cpuMicros: (after - before) / messages });
}

/** One stream with a steady number of messages on their way. */
async function talkFor(
  client: Client,
  ms: number,
  batch: number,
): Promise<{ messages: number; tookMs: number }> {
  const request = create(WorkerServiceConnectRequestSchema, {
    message: {
      case: 'results',
      value: {
        results: Array.from({ length: batch }, (_, i) => ({
          executionId: BigInt(1_234_567_890_000 + i),
          attempt: 1,
          state: ExecutionState.SUCCEEDED,
        })),
      },
    },
  });
  const bytes = bufferOf(toBinary(WorkerServiceConnectRequestSchema, request));
  const startedMs = systemClock.monotonicMs();
  const stream = client.makeBidiStreamRequest(path, same, same);
  let messages = 0;
  stream.on('data', () => {
    messages++;
    if (systemClock.monotonicMs() - startedMs < ms) stream.write(bytes);
    else stream.end();
  });
  for (let i = 0; i < inFlight; i++) stream.write(bytes);
  await once(stream, 'end');
  return { messages, tookMs: systemClock.monotonicMs() - startedMs };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
