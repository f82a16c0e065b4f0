import type * as pb from '../../../gen/carillon/v1/worker_service_pb.js';
import { jobDefaults } from '../../domain/job.ts';
import type {
  Assignment,
  AttemptRef,
  ListedWorker,
  WorkerEvent,
  WorkerHello,
  WorkerReport,
  WorkerResult,
} from '../../engine/operations.ts';
import { executionCauses, logLevels, workerStates } from './enums.ts';
import { jobKeyToMessage } from './job-key.ts';
import { parametersToMessage } from './parameters.ts';
import { durationFromMs, msOrDefault, optionalDate, timestampFromDate } from './times.ts';

/** How a worker introduces itself, with its defaults. */
export function workerHelloFromMessage(hello: pb.WorkerHello): WorkerHello {
  const { workerId, namespace, queues, labels, capacity, version, running } = hello;
  return {
    workerId,
    namespace: namespace === '' ? jobDefaults.namespace : namespace,
    queues: [...new Set(queues)],
    labels,
    capacity,
    version,
    running: running.map(refFromMessage),
  };
}

/** What a worker says; undefined for a hello, which is the first message and no other. */
export function workerReportFromMessage({
  message,
}: pb.WorkerServiceConnectRequest): WorkerReport | undefined {
  switch (message.case) {
    case 'heartbeat':
    case 'goodbye':
      return { kind: message.case };
    case 'started':
      return { kind: 'started', attempts: message.value.attempts.map(refFromMessage) };
    case 'logs':
      return {
        kind: 'logs',
        entries: message.value.entries.map((entry) => ({
          ...refFromMessage(entry),
          line: {
            at: optionalDate(entry.time),
            level: logLevels.fromMessage(entry.level) ?? 'INFO',
            message: entry.message,
            data: entry.data,
          },
        })),
      };
    case 'result':
      return { kind: 'results', results: [resultFromMessage(message.value)] };
    case 'results':
      return { kind: 'results', results: message.value.results.map(resultFromMessage) };
    default:
      return undefined;
  }
}

function resultFromMessage(result: pb.WorkerResult): WorkerResult {
  return {
    ...refFromMessage(result),
    state: workerResultStates[result.state] ?? 'FAILED',
    message: result.message,
    result: result.result,
    retryable: result.retryable ?? true,
    retryAfterMs: msOrDefault(result.retryAfter, undefined),
  };
}

/** The rule on the field lets these three through. */
const workerResultStates: Readonly<Record<number, WorkerResult['state']>> = {
  3: 'SUCCEEDED',
  4: 'FAILED',
  5: 'CANCELED',
};

const refFromMessage = (ref: { readonly executionId: bigint; readonly attempt: number }): AttemptRef => ({
  executionId: Number(ref.executionId),
  attempt: ref.attempt,
});

const refToMessage = ({ executionId, attempt }: AttemptRef): pb.AttemptRef => ({
  $typeName: 'carillon.v1.AttemptRef',
  executionId: BigInt(executionId),
  attempt,
});

/** What an instance says to a worker. */
export function workerEventToMessage(event: WorkerEvent): pb.WorkerServiceConnectResponse {
  return { $typeName: 'carillon.v1.WorkerServiceConnectResponse', message: eventToMessage(event) };
}

function eventToMessage(event: WorkerEvent): pb.WorkerServiceConnectResponse['message'] {
  switch (event.kind) {
    case 'welcome':
      return {
        case: 'welcome',
        value: {
          $typeName: 'carillon.v1.WorkerWelcome',
          heartbeatInterval: durationFromMs(event.heartbeatIntervalMs),
          reconnectGrace: durationFromMs(event.reconnectGraceMs),
          instance: event.instance,
          rejected: event.rejected.map(refToMessage),
        },
      };
    case 'assignments':
      return {
        case: 'assignments',
        value: {
          $typeName: 'carillon.v1.WorkerAssignments',
          assignments: event.assignments.map(assignmentToMessage),
        },
      };
    case 'cancel':
      return {
        case: 'cancel',
        value: {
          $typeName: 'carillon.v1.WorkerCancel',
          attempts: event.attempts.map(refToMessage),
          reason: event.reason,
        },
      };
    case 'drain':
      return { case: 'drain', value: { $typeName: 'carillon.v1.WorkerDrain' } };
    case 'ack':
      return {
        case: 'ack',
        value: { $typeName: 'carillon.v1.WorkerAck', attempts: event.attempts.map(refToMessage) },
      };
  }
}

function assignmentToMessage(assignment: Assignment): pb.Assignment {
  return {
    $typeName: 'carillon.v1.Assignment',
    executionId: BigInt(assignment.executionId),
    attempt: assignment.attempt,
    jobId: BigInt(assignment.jobId),
    jobKey: jobKeyToMessage(assignment.jobKey),
    fireTime: timestampFromDate(assignment.fireAt),
    cause: executionCauses.toMessage(assignment.cause),
    term: BigInt(assignment.term),
    priority: assignment.priority,
    parameters: parametersToMessage(assignment.parameters),
    idempotencyKey: String(assignment.executionId),
    timeout: durationFromMs(Math.ceil(assignment.timeoutMs)),
    queue: assignment.queue,
  };
}

/** A worker as people see it. */
export function workerToMessage(worker: ListedWorker): pb.Worker {
  return {
    $typeName: 'carillon.v1.Worker',
    workerId: worker.workerId,
    namespace: worker.namespace,
    queues: [...worker.queues],
    labels: worker.labels,
    capacity: worker.capacity,
    running: worker.running,
    version: worker.version,
    instance: worker.instance,
    connectTime: timestampFromDate(worker.connectedAt),
    lastSeenTime: timestampFromDate(worker.seenAt),
    state: workerStates.toMessage(worker.state),
  };
}
