/**
 * grpc.health.v1 on the gRPC port. It stands outside the chain: its protocol
 * is not ours, its callers are load balancers and probes, and its errors are
 * those that it defines.
 */
import type { Buffer } from 'node:buffer';
import { toBinary } from '@bufbuild/protobuf';
import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../gen/grpc/health/v1/health_pb.js';
import type { Clock } from '../platform/clock.ts';
import { describeError } from './errors.ts';
import { bufferOf, grpcStatusFromDescription } from './grpc-call.ts';
import type { LiveCalls } from './live-calls.ts';
import { MalformedRequest } from './malformed-request.ts';

/** How long a look at the readiness counts, and how often watchers look again, in milliseconds. */
const lookEveryMs = 1_000;

type Request = HealthCheckRequest | MalformedRequest;

/** What health is made of. */
export type HealthOptions = {
  /** Resolves while the instance can serve. */
  readonly ready: () => Promise<void>;
  /** The services that can be asked for; the empty name stands for the whole server. */
  readonly serviceNames: readonly string[];
  readonly clock: Clock;
  readonly live: LiveCalls;
  isStopping(): boolean;
};

/** Tells whether the instance serves; all services share one answer, because they share one database. */
export class GrpcHealth {
  readonly #options: HealthOptions;
  readonly #names: ReadonlySet<string>;
  #look: { readonly atMs: number; readonly status: Promise<HealthCheckResponse_ServingStatus> } | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#names = new Set(['', ...options.serviceNames]);
  }

  /** The handlers for grpc-js. */
  get implementation(): UntypedServiceImplementation {
    return {
      check: ({ request }: ServerUnaryCall<Request, Buffer>, answer: sendUnaryData<Buffer>) => {
        if (request instanceof MalformedRequest) answer(statusOf(request));
        else void this.#check(request.service, answer);
      },
      watch: (call: ServerWritableStream<Request, Buffer>) => {
        if (call.request instanceof MalformedRequest) call.emit('error', statusOf(call.request));
        else void this.#watch(call, call.request.service);
      },
    };
  }

  async #check(service: string, answer: sendUnaryData<Buffer>): Promise<void> {
    if (!this.#names.has(service)) return answer({ code: status.NOT_FOUND, details: 'unknown service' });
    answer(null, encode(await this.#status()));
  }

  async #watch(call: ServerWritableStream<Request, Buffer>, service: string): Promise<void> {
    const { clock, live } = this.#options;
    const ended = new AbortController();
    const stream = {
      fail(failure: unknown): void {
        call.emit('error', grpcStatusFromDescription(describeError(failure, '')));
        ended.abort();
      },
    };
    call.on('cancelled', () => ended.abort());
    live.add(stream, true);
    let last: HealthCheckResponse_ServingStatus | undefined;
    while (!ended.signal.aborted) {
      const now = this.#names.has(service) ? await this.#status() : Serving.SERVICE_UNKNOWN;
      if (now !== last && !ended.signal.aborted) call.write(encode(now));
      last = now;
      await clock.sleep(lookEveryMs, ended.signal);
    }
    live.delete(stream);
  }

  #status(): Promise<HealthCheckResponse_ServingStatus> {
    const { clock, ready } = this.#options;
    if (this.#options.isStopping()) return Promise.resolve(Serving.NOT_SERVING);
    const nowMs = clock.monotonicMs();
    if (this.#look === undefined || nowMs - this.#look.atMs >= lookEveryMs) {
      const looked = ready().then(
        () => Serving.SERVING,
        () => Serving.NOT_SERVING,
      );
      this.#look = { atMs: nowMs, status: looked };
    }
    return this.#look.status;
  }
}

function statusOf({ error }: MalformedRequest): Partial<StatusObject> {
  return grpcStatusFromDescription(describeError(error, ''));
}

function encode(serving: HealthCheckResponse_ServingStatus): Buffer {
  return bufferOf(
    toBinary(HealthCheckResponseSchema, {
      $typeName: 'grpc.health.v1.HealthCheckResponse',
      status: serving,
    }),
  );
}
