import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  WorkerService,
  type WorkerServiceConnectRequest,
  type WorkerServiceConnectRequestSchema,
  type WorkerServiceConnectResponse,
  WorkerServiceConnectResponseSchema,
} from '../../gen/carillon/v1/worker_service_pb.js';
import { type BidiHandler, bindService, type Service } from '../../src/rpc/services/service.ts';

/** A handler of WorkerService.Connect. */
export type Connect = BidiHandler<WorkerServiceConnectRequest, WorkerServiceConnectResponse>;

/** WorkerService with this handler and an empty list. */
export function workerService(connect: Connect): Service {
  return bindService(WorkerService, {
    connect,
    list: () =>
      Promise.resolve({
        $typeName: 'carillon.v1.WorkerServiceListResponse',
        workers: [],
        nextPageToken: '',
      }),
  });
}

/** A request that names the attempt `number`. */
export function started(number: number): MessageInitShape<typeof WorkerServiceConnectRequestSchema> {
  return { message: { case: 'started', value: { attempts: [{ executionId: BigInt(number), attempt: 1 }] } } };
}

/** The attempt that a request of `started` names. */
export function numberOf({ message }: WorkerServiceConnectRequest): number {
  return message.case === 'started' ? Number(message.value.attempts[0]?.executionId) : Number.NaN;
}

/** A response that says `text`, of about as many bytes. */
export function saying(text: string): WorkerServiceConnectResponse {
  return create(WorkerServiceConnectResponseSchema, { message: { case: 'cancel', value: { reason: text } } });
}

/** What a response of `saying` says. */
export function textOf({ message }: WorkerServiceConnectResponse): string | undefined {
  return message.case === 'cancel' ? message.value.reason : undefined;
}

/** Answers each request with the number in it. */
export const echo: Connect = async function* (requests) {
  for await (const request of requests) yield saying(String(numberOf(request)));
};
