/**
 * update_mask names whole fields of Job. A masked field that is absent in the
 * job is cleared to its default; an empty mask means the fields that are set.
 */
import type { FieldMask } from '@bufbuild/protobuf/wkt';
import type * as pb from '../../../gen/carillon/v1/job_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { JobDraft, UpdateJob } from '../../engine/operations.ts';
import { cleanText } from '../error-details.ts';
import { draftFields } from './job.ts';

type Field = keyof JobDraft;

/** The paths that a mask may hold, with the draft's fields that they change. */
const fieldOfPath: ReadonlyMap<string, Field> = new Map<string, Field>([
  ['description', 'description'],
  ['labels', 'labels'],
  ['schedules', 'schedules'],
  ['target', 'target'],
  ['parameters', 'parameters'],
  ['priority', 'priority'],
  ['overlap', 'overlap'],
  ['misfire', 'misfire'],
  ['retry', 'retry'],
  ['attempt_timeout', 'attemptTimeoutMs'],
  ['queue_timeout', 'queueTimeoutMs'],
  ['max_running', 'maxRunning'],
]);

/** Whether a field says something in the message: what an empty mask goes by. */
const isSet: { readonly [F in Field]-?: (job: pb.Job) => boolean } = {
  description: (job) => job.description !== '',
  labels: (job) => Object.keys(job.labels).length > 0,
  schedules: (job) => job.schedules.length > 0,
  target: (job) => job.target !== undefined,
  parameters: (job) => job.parameters !== undefined,
  priority: (job) => job.priority !== 0,
  overlap: (job) => job.overlap !== 0,
  misfire: (job) => job.misfire !== undefined,
  retry: (job) => job.retry !== undefined,
  attemptTimeoutMs: (job) => job.attemptTimeout !== undefined,
  queueTimeoutMs: (job) => job.queueTimeout !== undefined,
  maxRunning: (job) => job.maxRunning !== 0,
};

/** What Update changes: the masked fields, with their values out of the job. */
export function changesFromMessage(job: pb.Job, mask: FieldMask | undefined): UpdateJob['changes'] {
  const changes: Partial<JobDraft> & { clearQueueTimeout?: boolean } = {};
  for (const field of maskedFields(job, mask)) {
    if (field === 'queueTimeoutMs' && job.queueTimeout === undefined) changes.clearQueueTimeout = true;
    else Object.assign(changes, { [field]: draftFields[field](job) });
  }
  return changes;
}

function maskedFields(job: pb.Job, mask: FieldMask | undefined): ReadonlySet<Field> {
  if (mask === undefined || mask.paths.length === 0) {
    return new Set([...fieldOfPath.values()].filter((field) => isSet[field](job)));
  }
  return new Set(mask.paths.map(fieldFromPath));
}

function fieldFromPath(path: string): Field {
  const field = fieldOfPath.get(path);
  if (field !== undefined) return field;
  const allowed = [...fieldOfPath.keys()].join(', ');
  throw invalidField('update_mask', `${JSON.stringify(cleanText(path, 64))} is not one of ${allowed}`);
}
