import type { FieldMask } from '@bufbuild/protobuf/wkt';
import type * as pb from '../../../gen/carillon/v1/namespace_pb.js';
import type * as queuePb from '../../../gen/carillon/v1/queue_pb.js';
import type { StartRate as StartRateMessage } from '../../../gen/carillon/v1/start_rate_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { Namespace, Queue } from '../../domain/namespace.ts';
import type { RunLimits } from '../../domain/run-limits.ts';
import type { NamespaceDraft, QueueDraft } from '../../engine/operations.ts';
import { cleanText } from '../error-details.ts';
import { namespaceFromMessage } from './job-key.ts';
import { durationFromMs, msOrDefault, timestampFromDate } from './times.ts';

/** In how much time starts are counted where the message does not say. */
const defaultPeriodMs = 1_000;

export const namespaceDraftFromMessage = ({ name, description, limits }: pb.Namespace): NamespaceDraft => ({
  name,
  description,
  limits: limitsFromMessage(limits),
});

export const queueDraftFromMessage = ({ namespace, name, limits }: queuePb.Queue): QueueDraft => ({
  namespace: namespaceFromMessage(namespace),
  name,
  limits: limitsFromMessage(limits),
});

/** What UpdateNamespace changes: the masked fields, or those that are set. */
export function namespaceChangesFromMessage(
  message: pb.Namespace,
  mask: FieldMask | undefined,
): { readonly description?: string; readonly limits?: RunLimits } {
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
    ...(isMasked('limits') && { limits: limitsFromMessage(limits) }),
  };
}

export const namespaceToMessage = (namespace: Namespace): pb.Namespace => ({
  $typeName: 'carillon.v1.Namespace',
  name: namespace.name,
  description: namespace.description,
  limits: { $typeName: 'carillon.v1.NamespaceLimits', ...limitsToMessage(namespace.limits) },
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
