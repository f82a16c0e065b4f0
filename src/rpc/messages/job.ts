import type * as pb from '../../../gen/carillon/v1/job_pb.js';
import type { Execution } from '../../domain/execution.ts';
import { type Job, jobDefaults, type Misfire, type Pause, type Retry } from '../../domain/job.ts';
import type { JobDraft } from '../../engine/operations.ts';
import { jobStates, misfirePolicies, overlapPolicies } from './enums.ts';
import { etagFromRevision } from './etag.ts';
import { executionToMessage } from './execution.ts';
import { jobKeyToMessage } from './job-key.ts';
import { parametersFromMessage, parametersToMessage } from './parameters.ts';
import { schedulesFromMessages, scheduleToMessage } from './schedule.ts';
import { targetFromMessage, targetToMessage } from './target.ts';
import { durationFromMs, msOrDefault, optionalTimestamp, timestampFromDate } from './times.ts';

/**
 * One conversion per field that Add and Update set: absent or 0 takes the
 * default. The keys are the fields of the draft, so a field that is added to
 * the domain does not compile before it is converted here.
 */
export const draftFields: { readonly [Field in keyof JobDraft]-?: (job: pb.Job) => JobDraft[Field] } = {
  description: (job) => job.description,
  labels: (job) => job.labels,
  schedules: (job) => schedulesFromMessages(job.schedules, 'job.schedules'),
  target: (job) => targetFromMessage(job.target, 'job.target'),
  parameters: (job) => parametersFromMessage(job.parameters, 'job.parameters'),
  priority: (job) => job.priority,
  overlap: (job) => overlapPolicies.fromMessage(job.overlap) ?? jobDefaults.overlap,
  misfire: (job) => misfireFromMessage(job.misfire),
  retry: (job) => retryFromMessage(job.retry),
  attemptTimeoutMs: (job) => msOrDefault(job.attemptTimeout, jobDefaults.attemptTimeoutMs),
  queueTimeoutMs: (job) => msOrDefault(job.queueTimeout, undefined),
  maxRunning: (job) => job.maxRunning,
};

/** Everything of a job that a user defines. */
export function draftFromMessage(job: pb.Job): JobDraft {
  return {
    description: draftFields.description(job),
    labels: draftFields.labels(job),
    schedules: draftFields.schedules(job),
    target: draftFields.target(job),
    parameters: draftFields.parameters(job),
    priority: draftFields.priority(job),
    overlap: draftFields.overlap(job),
    misfire: draftFields.misfire(job),
    retry: draftFields.retry(job),
    attemptTimeoutMs: draftFields.attemptTimeoutMs(job),
    queueTimeoutMs: draftFields.queueTimeoutMs(job),
    maxRunning: draftFields.maxRunning(job),
  };
}

function misfireFromMessage(misfire: pb.Misfire | undefined): Misfire {
  const defaults = jobDefaults.misfire;
  if (misfire === undefined) return defaults;
  return {
    policy: misfirePolicies.fromMessage(misfire.policy) ?? defaults.policy,
    graceMs: msOrDefault(misfire.grace, defaults.graceMs),
    maxCatchUp: misfire.maxCatchUp || defaults.maxCatchUp,
    catchUpWindowMs: msOrDefault(misfire.catchUpWindow, 0) || defaults.catchUpWindowMs,
  };
}

function retryFromMessage(retry: pb.Retry | undefined): Retry {
  const defaults = jobDefaults.retry;
  if (retry === undefined) return defaults;
  const initialBackoffMs = msOrDefault(retry.initialBackoff, defaults.initialBackoffMs);
  return {
    maxAttempts: retry.maxAttempts || defaults.maxAttempts,
    initialBackoffMs,
    // A default must not contradict what the user says.
    maxBackoffMs: msOrDefault(retry.maxBackoff, Math.max(defaults.maxBackoffMs, initialBackoffMs)),
    multiplier: retry.multiplier || defaults.multiplier,
    jitter: retry.jitter ?? defaults.jitter,
  };
}

/** A stored job with everything that was defaulted written out. */
export function jobToMessage(job: Job, lastExecution?: Execution): pb.Job {
  return {
    $typeName: 'carillon.v1.Job',
    id: BigInt(job.id),
    key: jobKeyToMessage(job.key),
    description: job.description,
    labels: job.labels,
    schedules: job.schedules.map(scheduleToMessage),
    target: targetToMessage(job.target),
    parameters: parametersToMessage(job.parameters),
    priority: job.priority,
    overlap: overlapPolicies.toMessage(job.overlap),
    misfire: misfireToMessage(job.misfire),
    retry: retryToMessage(job.retry),
    attemptTimeout: durationFromMs(job.attemptTimeoutMs),
    queueTimeout: job.queueTimeoutMs === undefined ? undefined : durationFromMs(job.queueTimeoutMs),
    maxRunning: job.maxRunning,
    startPaused: false,
    state: jobStates.toMessage(job.state),
    pauses: job.pauses.map(pauseToMessage),
    nextFireTime: optionalTimestamp(job.nextFireAt),
    lastFireTime: optionalTimestamp(job.lastFireAt),
    lastExecution: lastExecution === undefined ? undefined : executionToMessage(lastExecution),
    createTime: timestampFromDate(job.createdAt),
    updateTime: timestampFromDate(job.updatedAt),
    etag: etagFromRevision(job.revision),
    generation: BigInt(job.generation),
    bufferedCount: job.bufferedCount,
  };
}

function misfireToMessage(misfire: Misfire): pb.Misfire {
  return {
    $typeName: 'carillon.v1.Misfire',
    policy: misfirePolicies.toMessage(misfire.policy),
    grace: durationFromMs(misfire.graceMs),
    maxCatchUp: misfire.maxCatchUp,
    catchUpWindow: durationFromMs(misfire.catchUpWindowMs),
  };
}

function retryToMessage(retry: Retry): pb.Retry {
  return {
    $typeName: 'carillon.v1.Retry',
    maxAttempts: retry.maxAttempts,
    initialBackoff: durationFromMs(retry.initialBackoffMs),
    maxBackoff: durationFromMs(retry.maxBackoffMs),
    multiplier: retry.multiplier,
    jitter: retry.jitter,
  };
}

function pauseToMessage(pause: Pause): pb.Pause {
  return {
    $typeName: 'carillon.v1.Pause',
    id: pause.id,
    actor: pause.actor,
    reason: pause.reason,
    createTime: timestampFromDate(pause.createdAt),
    untilTime: optionalTimestamp(pause.untilAt),
  };
}
