import {
  WorkerService,
  type WorkerServiceConnectRequest,
  type WorkerServiceConnectResponse,
} from '../../../gen/carillon/v1/worker_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { WorkerEvent, WorkerOperations, WorkerSession } from '../../engine/operations.ts';
import type { Call } from '../call.ts';
import { pageFromMessage } from '../messages/pages.ts';
import {
  workerEventToMessage,
  workerHelloFromMessage,
  workerReportFromMessage,
  workerToMessage,
} from '../messages/worker.ts';
import { OutgoingMessages } from '../outgoing-messages.ts';
import { bindService, type RequestStream, type Service } from './service.ts';

/** carillon.v1.WorkerService over the operations on workers. */
export function createWorkerService(workers: WorkerOperations): Service {
  return bindService(WorkerService, {
    async *connect(requests, call) {
      const first = await requests.next();
      if (first.done) return;
      const { message } = first.value;
      if (message.case !== 'hello') throw invalidField('message', 'the first message must be hello');
      const outgoing = new OutgoingMessages<WorkerServiceConnectResponse>();
      const stream = {
        send: (event: WorkerEvent) => outgoing.push(workerEventToMessage(event)),
        fail: (error: unknown) => call.fail(error),
      };
      const session = await workers.connect(workerHelloFromMessage(message.value), stream, call.caller);
      call.isAccepted = true;
      call.onStopping(() => {
        // What the worker runs, it takes along to another instance.
        outgoing.push(workerEventToMessage({ kind: 'drain' }));
        outgoing.end();
      });
      void read(requests, session, outgoing, call).then(() => outgoing.end());
      try {
        yield* outgoing.until(call.signal);
      } finally {
        session.close();
      }
    },

    async list({ filter, ...request }, call) {
      const { workers: listed, nextPageToken } = await workers.list(
        { namespace: filter?.namespace || undefined, queue: filter?.queue || undefined },
        pageFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.WorkerServiceListResponse',
        workers: listed.map(workerToMessage),
        nextPageToken,
      };
    },
  });
}

/**
 * Passes on what a worker says, no faster than it is taken, until it closes its
 * side or the call fails. One that does not read the answers is not read
 * either: its heartbeats are not heard, and that ends its stream.
 */
async function read(
  requests: RequestStream<WorkerServiceConnectRequest>,
  session: WorkerSession,
  outgoing: OutgoingMessages<WorkerServiceConnectResponse>,
  call: Call,
): Promise<void> {
  try {
    for await (const request of requests) {
      const report = workerReportFromMessage(request);
      if (!report) throw invalidField('message', 'hello must be the first message, and only the first');
      const taken = session.receive(report);
      if (taken !== undefined) await taken;
      const room = outgoing.room();
      if (room !== undefined) await room;
    }
  } catch (error) {
    call.fail(error);
  }
}
