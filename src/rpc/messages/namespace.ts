import type { FieldMask } from '@bufbuild/protobuf/wkt';
import type * as pb from '../../../gen/carillon/v1/namespace_pb.js';
import type * as queuePb from '../../../gen/carillon/v1/queue_pb.js';
import type { StartRate as StartRateMessage } from '../../../gen/carillon/v1/start_rate_pb.js';
import { everyNamespace } from '../../domain/access.ts';
import { invalidField } from '../../domain/errors.ts';
import type { Namespace, NamespaceLimits, Queue } from '../../domain/namespace.ts';
import type { RunLimits } from '../../domain/run-limits.ts';
import type { NamespaceDraft, QueueDraft } from '../../engine/operations.ts';
import { cleanText } from '../error-details.ts';
import { namespaceFromMessage } from './job-key.ts';
import { durationFromMs, msOrDefault, timestampFromDate } from './times.ts';

/** Below this a log would hold little but the line that says that it is used up. */
const minLogBytes = 1_024;

/** In how much time starts are counted where the message does not say. */
const defaultPeriodMs = 1_000;

export function namespaceDraftFromMessage({ name, description, limits }: pb.Namespace): NamespaceDraft {
  if (name === everyNamespace) {
    throw invalidField('namespace.name', `must not be ${everyNamespace}, which stands for every namespace`);
  }
  return { name, description, limits: namespaceLimitsFromMessage(limits) };
}

export const queueDraftFromMessage = ({ namespace, name, limits }: queuePb.Queue): QueueDraft => ({
  namespace: namespaceFromMessage(namespace),
  name,
  limits: limitsFromMessage(limits),
});

/** What UpdateNamespace changes: the masked fields, or those that are set. */
export function namespaceChangesFromMessage(
  message: pb.Namespace,
  mask: FieldMask | undefined,
): { readonly description?: string; readonly limits?: NamespaceLimits } {
  const { description, limits } = message;
  const isSet = { description: description !== '', limits: limits !== undefined };
  const paths = mask?.paths ?? [];
  for (const path of paths) {
    if (!(path in isSet)) {
      throw invalidField(
        'update_mask',
        `${JSON.stringify(cleanText(path, 64))} is not one of description, limits`,
      );
    }
  }
  const isMasked = (field: keyof typeof isSet): boolean =>
    paths.length === 0 ? isSet[field] : paths.includes(field);
  return {
    ...(isMasked('description') && { description }),
    ...(isMasked('limits') && { limits: namespaceLimitsFromMessage(limits) }),
  };
}

export const namespaceToMessage = (namespace: Namespace): pb.Namespace => ({
  $typeName: 'carillon.v1.Namespace',
  name: namespace.name,
  description: namespace.description,
  limits: namespaceLimitsToMessage(namespace.limits),
  createTime: timestampFromDate(namespace.createdAt),
  updateTime: timestampFromDate(namespace.updatedAt),
});

export const queueToMessage = (queue: Queue): queuePb.Queue => ({
  $typeName: 'carillon.v1.Queue',
  namespace: queue.namespace,
  name: queue.name,
  limits: { $typeName: 'carillon.v1.QueueLimits', ...limitsToMessage(queue.limits) },
  createTime: timestampFromDate(queue.createdAt),
  updateTime: timestampFromDate(queue.updatedAt),
});

/** Absent and 0 are no limit. */
function namespaceLimitsFromMessage(message: pb.NamespaceLimits | undefined): NamespaceLimits {
  if (!message) return {};
  const { maxJobs, executionsPerMinute, maxStreams } = message;
  const logBytesPerAttempt = Number(message.logBytesPerAttempt);
  if (logBytesPerAttempt > 0 && logBytesPerAttempt < minLogBytes) {
    throw invalidField('namespace.limits.log_bytes_per_attempt', `must be 0 or at least ${minLogBytes}`);
  }
  return {
    ...limitsFromMessage(message),
    ...(maxJobs > 0 && { maxJobs }),
    ...(executionsPerMinute > 0 && { executionsPerMinute }),
    ...(logBytesPerAttempt > 0 && { logBytesPerAttempt }),
    ...(maxStreams > 0 && { maxStreams }),
  };
}

const namespaceLimitsToMessage = (limits: NamespaceLimits): pb.NamespaceLimits => ({
  $typeName: 'carillon.v1.NamespaceLimits',
  ...limitsToMessage(limits),
  maxJobs: limits.maxJobs ?? 0,
  executionsPerMinute: limits.executionsPerMinute ?? 0,
  logBytesPerAttempt: BigInt(limits.logBytesPerAttempt ?? 0),
  maxStreams: limits.maxStreams ?? 0,
});

/** Absent and 0 are no limit. */
function limitsFromMessage(limits: pb.NamespaceLimits | queuePb.QueueLimits | undefined): RunLimits {
  if (!limits) return {};
  const { maxRunning, startRate } = limits;
  return {
    ...(maxRunning > 0 && { maxRunning }),
    ...(startRate && {
      startRate: { count: startRate.count, periodMs: msOrDefault(startRate.period, defaultPeriodMs) },
    }),
  };
}

const limitsToMessage = ({
  maxRunning,
  startRate,
}: RunLimits): { readonly maxRunning: number; readonly startRate?: StartRateMessage } => ({
  maxRunning: maxRunning ?? 0,
  startRate: startRate && {
    $typeName: 'carillon.v1.StartRate',
    count: startRate.count,
    period: durationFromMs(startRate.periodMs),
  },
});
