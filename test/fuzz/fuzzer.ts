/**
 * Harms both ports of an instance in every way that a seed says, and tells what
 * was not right. Each action has a number and draws from a stream of its own,
 * so that seed and number repeat it whatever ran beside it.
 */
import { type DescMethod, fromJson, toBinary } from '@bufbuild/protobuf';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { AttemptService } from '../../gen/carillon/v1/attempt_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { WorkerService } from '../../gen/carillon/v1/worker_service_pb.js';
import { Health } from '../../gen/grpc/health/v1/health_pb.js';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.js';
import { goodRequests } from '../support/good-requests.ts';
import { grpcMessage } from '../support/raw-http2.ts';
import { type Random, randomFrom } from '../support/seeded-random.ts';
import { abuse } from './abuse.ts';
import { type Answer, FuzzClient } from './calls.ts';
import { jsonText, randomJson } from './json-messages.ts';
import { mutate, randomBytes, randomFields } from './wire-messages.ts';

/** The instance that is harmed, by its two addresses (host:port), and the seed of what is done. */
export type FuzzerOptions = { readonly grpc: string; readonly http: string; readonly seed: number };

/** Codes that no request may lead to: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS, and what is no code. */
const forbiddenCodes: ReadonlySet<number> = new Set([2, 13, 14, 15]);
const forbiddenNames: ReadonlySet<string> = new Set(['unknown', 'internal', 'unavailable', 'data_loss']);

const methods: readonly DescMethod[] = [
  JobService,
  ExecutionService,
  AdminService,
  AttemptService,
  WorkerService,
].flatMap((service): readonly DescMethod[] => service.methods);
const grpcOnly: readonly DescMethod[] = [Health, ServerReflection].flatMap(
  (service): readonly DescMethod[] => service.methods,
);
const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;
const paths = [...methods, ...grpcOnly].map(pathOf);

export class Fuzzer {
  readonly #options: FuzzerOptions;
  readonly #grpc: FuzzClient;
  readonly #http: FuzzClient;
  /** What was answered how often, so that one can see that it is not all refusals at the door. */
  readonly answers = new Map<string, number>();

  constructor(options: FuzzerOptions) {
    this.#options = options;
    this.#grpc = new FuzzClient(options.grpc);
    this.#http = new FuzzClient(options.http);
  }

  /** Runs the action of this number; tells what was not right about it, undefined when all was. */
  async act(number: number): Promise<string | undefined> {
    // Neighbours in number must not be neighbours in chance.
    const random = randomFrom(Math.imul(this.#options.seed, 2_654_435_761) ^ Math.imul(number + 1, 40_503));
    const action = random.pick(actions);
    try {
      const fault = await action(this, random);
      return fault && `action ${number}: ${fault}`;
    } catch (error) {
      return `action ${number}: ${(error as Error).message}`;
    }
  }

  close(): void {
    this.#grpc.close();
    this.#http.close();
  }

  abuse(random: Random): Promise<void> {
    return abuse(random.chance(0.5) ? this.#options.grpc : this.#options.http, random, paths);
  }

  /** A call of gRPC to either port, framed as it should be; only the body may be anything. */
  async callGrpc(random: Random): Promise<string | undefined> {
    const isGrpcPort = random.chance(0.6);
    const method = random.pick(isGrpcPort ? [...methods, ...grpcOnly] : methods);
    const path = pathOf(method);
    const bodies = Array.from({ length: method.methodKind === 'unary' ? 1 : 1 + random.below(3) }, () =>
      grpcMessage(bodyFor(method, random)),
    );
    const client = isGrpcPort ? this.#grpc : this.#http;
    const isStream = method.methodKind !== 'unary';
    // A stream may have no end of its own; a unary call has one long before its deadline.
    const timeout = isStream ? '2S' : '30S';
    const headers = { 'content-type': 'application/grpc', te: 'trailers', 'grpc-timeout': timeout };
    const messages = method.methodKind === 'bidi_streaming' ? bodies : bodies.slice(0, 1);
    const answer = await client.call(path, headers, Buffer.concat(messages));
    return this.#judgeGrpc(`gRPC ${path}`, answer, isStream);
  }

  /** A call of gRPC whose framing or headers are wrong: it has to be answered or refused, and no more. */
  async callGrpcWrongly(random: Random): Promise<string | undefined> {
    const method = random.pick(methods);
    const message = grpcMessage(bodyFor(method, random), random.chance(0.3));
    const wrong = random.pick([
      'grpc-timeout',
      'grpc-encoding',
      'content-type',
      'x-request-id',
      'authorization',
    ]);
    const headers = {
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '2S',
      [wrong]: random.pick([
        '',
        '0',
        '-1S',
        '99999999H',
        'gzip',
        'zip',
        'application/grpc+nothing',
        'text/plain',
        'x'.repeat(9_000),
      ]),
    };
    const client = random.chance(0.5) ? this.#grpc : this.#http;
    // No answer but a reset is one as well, where nothing can be read.
    await client.call(pathOf(method), headers, mutate(message, random)).catch((error: Error) => {
      if (!error.message.includes('reset with')) throw error;
    });
    return undefined;
  }

  /** A call of Connect or gRPC-Web with a body of JSON or bytes. */
  async callConnect(random: Random): Promise<string | undefined> {
    const method = random.pick(methods.filter(({ methodKind }) => methodKind === 'unary'));
    const path = pathOf(method);
    const good = goodRequests[`${method.parent.name}/${method.name}`] ?? {};
    const json = { ...(random.chance(0.6) ? good : {}), ...randomJson(method.input, random) };
    const [type, body] = random.pick<() => readonly [string, Uint8Array]>([
      () => ['application/json', jsonText(json, random)],
      () => ['application/proto', bodyFor(method, random)],
      () => ['application/grpc-web+proto', grpcMessage(bodyFor(method, random))],
    ])();
    const headers = { 'content-type': type, 'connect-timeout-ms': '20000' };
    const answer = await this.#http.call(path, headers, body);
    if (type.startsWith('application/grpc-web')) {
      const trailer = /grpc-status: ?(\d+)/i.exec(answer.body)?.[1] ?? answer.grpcStatus;
      const grpcStatus = trailer === undefined ? undefined : Number(trailer);
      return this.#judgeGrpc(`gRPC-Web ${path}`, { ...answer, grpcStatus }, false);
    }
    const code = answer.httpStatus === 200 ? 'ok' : (/"code":"(\w+)"/.exec(answer.body)?.[1] ?? 'none');
    this.#count(code);
    if (
      code === 'none' ||
      forbiddenNames.has(code) ||
      (answer.httpStatus >= 500 && code !== 'unimplemented')
    ) {
      return `Connect ${path}: HTTP ${answer.httpStatus}, ${answer.body.slice(0, 300)}`;
    }
    return undefined;
  }

  /** A path, a method or a type of content that nobody serves. */
  async callNothing(random: Random): Promise<string | undefined> {
    const path = random.pick([
      '/',
      '/nothing',
      '/carillon.v1.JobService',
      '/carillon.v1.JobService/',
      `${paths[0]}/x`,
      '/%ff',
      '/%7f%00',
      '//a/../b?c',
      ...paths,
    ]);
    const type = random.pick([
      '',
      'text/html',
      'application/grpc',
      'application/connect+json',
      'application/json; charset=latin1',
      'multipart/form-data',
    ]);
    const client = random.chance(0.5) ? this.#grpc : this.#http;
    const method = random.pick(['GET', 'PUT', 'DELETE', 'OPTIONS', 'POST', 'PATCH']);
    const answer = await client.call(
      path,
      { ':method': method, 'content-type': type, 'grpc-timeout': '2S' },
      randomBytes(random, 300),
    );
    this.#count(`HTTP ${answer.httpStatus}`);
    return answer.httpStatus === 500
      ? `${method} ${path} (${type}): HTTP 500, ${answer.body.slice(0, 300)}`
      : undefined;
  }

  #judgeGrpc(what: string, answer: Answer, mayBeLate: boolean): string | undefined {
    const { grpcStatus, httpStatus, grpcMessage: message } = answer;
    this.#count(`gRPC ${grpcStatus}`);
    const isLate = grpcStatus === 4 && !mayBeLate;
    if (grpcStatus === undefined || grpcStatus > 16 || forbiddenCodes.has(grpcStatus) || isLate) {
      return `${what}: HTTP ${httpStatus}, status ${grpcStatus}, ${decodeURIComponent(message)}`;
    }
    return undefined;
  }

  #count(answer: string): void {
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
  }
}

type Action = (fuzzer: Fuzzer, random: Random) => Promise<string | undefined>;

const actions: readonly Action[] = [
  (fuzzer, random) => fuzzer.abuse(random).then(() => undefined),
  (fuzzer, random) => fuzzer.callGrpc(random),
  (fuzzer, random) => fuzzer.callGrpc(random),
  (fuzzer, random) => fuzzer.callGrpc(random),
  (fuzzer, random) => fuzzer.callGrpcWrongly(random),
  (fuzzer, random) => fuzzer.callConnect(random),
  (fuzzer, random) => fuzzer.callConnect(random),
  (fuzzer, random) => fuzzer.callNothing(random),
];

/** A good request with random fields behind it, which change it, or nothing good at all. */
function bodyFor(method: DescMethod, random: Random): Uint8Array {
  const good = goodRequests[`${method.parent.name}/${method.name}`];
  const base =
    good === undefined || random.chance(0.3)
      ? new Uint8Array()
      : toBinary(method.input, fromJson(method.input, good));
  const body = Buffer.concat([base, randomFields(method.input, random)]);
  return random.chance(0.15) ? mutate(body, random) : body;
}
