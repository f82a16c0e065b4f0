import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type Job, JobState, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { JobServicePreviewResponse } from '../../gen/carillon/v1/job_service_pb.js';
import {
  AmbiguousPolicy,
  CronDialect,
  type CronSchedule,
  GapPolicy,
  IntervalMode,
  type Schedule,
} from '../../gen/carillon/v1/schedule_pb.js';
import type { TlsOptions } from '../../gen/carillon/v1/target_pb.js';
import { executionSummary } from './execution-lines.ts';
import { jobKeyToText } from './job-name.ts';
import { durationToText, instantToText } from './option-values.ts';

/** The titles of `jobRow`. */
export const jobTitles = ['NAME', 'STATE', 'NEXT FIRE TIME', 'SCHEDULES', 'TARGET', 'ID'] as const;

/** A job as a row of a table. */
export function jobRow(job: Job): readonly string[] {
  return [
    jobKeyToText(job.key),
    JobState[job.state],
    instantToText(job.nextFireTime) || '-',
    job.schedules.map(scheduleToText).join(' + ') || '-',
    targetToText(job),
    String(job.id),
  ];
}

/** A job in one line, for the reply to a change. */
export function jobSummary(job: Job): string {
  const next = job.nextFireTime ? `, fires next at ${instantToText(job.nextFireTime)}` : '';
  return `${jobKeyToText(job.key)} (id ${job.id}) ${JobState[job.state]}${job.state === JobState.ACTIVE ? next : ''}`;
}

/** Everything about a job, as properties. */
export function jobProperties(job: Job): readonly (readonly [string, string])[] {
  const { parameters } = job;
  const texts = (name: string, values: readonly string[]): [string, string][] =>
    values.map((value, i) => [i === 0 ? name : ' ', value]);
  return [
    ['name', jobKeyToText(job.key)],
    ['id', String(job.id)],
    ['description', job.description],
    ...texts(
      'labels',
      Object.entries(job.labels).map(([name, value]) => `${name}=${value}`),
    ),
    ['state', JobState[job.state]],
    ...texts('pauses', job.pauses.map(pauseToText)),
    ...texts(
      'schedules',
      job.schedules.map((schedule) => `${schedule.name}: ${scheduleToText(schedule)}`),
    ),
    ['target', targetToText(job)],
    ['parameters', parameters?.text ?? ''],
    [
      parameters?.text === undefined ? 'parameters' : ' ',
      parameters?.object ? JSON.stringify(parameters.object) : '',
    ],
    ...(parameters?.list ?? []).map(({ name, value }): [string, string] => ['parameter', `${name}=${value}`]),
    ['priority', job.priority === 0 ? '' : String(job.priority)],
    ['overlap', OverlapPolicy[job.overlap]],
    ['max running', job.maxRunning === 0 ? '' : String(job.maxRunning)],
    ['buffered', job.bufferedCount > 0 ? `${job.bufferedCount} wait for another to end` : ''],
    ['attempts', job.retry ? `up to ${job.retry.maxAttempts}` : ''],
    ['attempt timeout', job.attemptTimeout ? durationToText(job.attemptTimeout) : ''],
    ['next fire time', instantToText(job.nextFireTime)],
    ['last fire time', instantToText(job.lastFireTime)],
    ['last execution', job.lastExecution ? executionSummary(job.lastExecution) : ''],
    ['added', instantToText(job.createTime)],
    ['changed', `${instantToText(job.updateTime)}, generation ${job.generation}`],
  ];
}

/** When a schedule fires, in the words of the options that make it. */
export function scheduleToText({
  kind,
  jitter,
  calendars,
  startTime,
  endTime,
  repeatCount,
}: Schedule): string {
  const jitterText = jitter ? durationToText(jitter) : '0s';
  const bounds = [
    jitterText === '0s' ? '' : ` jitter ${jitterText}`,
    ...calendars.map((name) => ` calendar ${name}`),
    boundToText('from', startTime),
    boundToText('until', endTime),
    repeatCount > 0 ? ` ${repeatCount} times` : '',
  ].join('');
  switch (kind.case) {
    case 'cron':
      return `${cronToText(kind.value)}${bounds}`;
    case 'interval':
      return [
        `every ${kind.value.every ? durationToText(kind.value.every) : '?'}`,
        kind.value.mode === IntervalMode.FIXED_DELAY ? ' fixed-delay' : '',
        bounds,
      ].join('');
    case 'once':
      return `at ${instantToText(kind.value.atTime)}${bounds}`;
    default:
      return '?';
  }
}

function cronToText({ expression, timeZone, dialect, gap, ambiguous }: CronSchedule): string {
  return [
    `${expression} ${timeZone || 'UTC'}`,
    dialect === CronDialect.QUARTZ ? ' dialect quartz' : '',
    gap === GapPolicy.SKIP ? ' gap skip' : '',
    ambiguous > AmbiguousPolicy.FIRST ? ` ambiguous ${AmbiguousPolicy[ambiguous]?.toLowerCase()}` : '',
  ].join('');
}

const boundToText = (word: string, time: Timestamp | undefined): string =>
  time ? ` ${word} ${instantToText(time)}` : '';

function pauseToText({ id, reason, createTime, untilTime }: Job['pauses'][number]): string {
  const until = untilTime ? ` until ${instantToText(untilTime)}` : '';
  return `${id} since ${instantToText(createTime)}${until}${reason ? `: ${reason}` : ''}`;
}

function targetToText({ target }: Job): string {
  switch (target?.kind.case) {
    case 'http': {
      const { method, url, signingSecretName: secret, secretHeaders } = target.kind.value;
      const signed = secret === '' ? '' : ` signed with ${secret}`;
      return `${method || 'POST'} ${url}${signed}${secretsToText(secretHeaders)}`;
    }
    case 'grpc': {
      const { address, method, tls, secretMetadata } = target.kind.value;
      const named = method === '' || method === defaultGrpcMethod ? '' : ` ${method}`;
      return `grpc ${address}${named}${tlsToText(tls)}${secretsToText(secretMetadata)}`;
    }
    case 'socket': {
      const { host, port, tls } = target.kind.value;
      return `socket ${host.includes(':') ? `[${host}]` : host}:${port}${tlsToText(tls)}`;
    }
    case 'worker': {
      const { queue, labels } = target.kind.value;
      const wanted = Object.entries(labels).map(([name, value]) => ` ${name}=${value}`);
      return `queue ${queue}${wanted.join('')}`;
    }
    default:
      return '?';
  }
}

const secretsToText = (secrets: Readonly<Record<string, string>>): string =>
  Object.entries(secrets)
    .map(([name, secret]) => ` with ${name} of ${secret}`)
    .join('');

function tlsToText(tls: TlsOptions | undefined): string {
  if (!tls?.enabled) return '';
  const secret = tls.clientCertificateSecretName;
  return secret === '' ? ' tls' : ` tls with certificate ${secret}`;
}

/** What the service answers where a target names no method. */
const defaultGrpcMethod = 'carillon.v1.TargetService/Run';

/**
 * A remark of the service about schedules, as a line: what a schedule means is
 * plain information, everything else is a warning.
 */
export function warningLine(text: string): string {
  const meaning = /^(schedule "(?:[^"\\]|\\.)*"): (means .*)$/s.exec(text);
  return meaning ? `${meaning[1]} ${meaning[2]}` : `warning: ${text}`;
}

/** The titles of `previewRows`. */
export const previewTitles = ['FIRE TIME', 'LOCAL TIME', 'ZONE', 'SCHEDULE', 'NOTE'] as const;

/** Fire times as rows of a table. */
export function previewRows({ fireTimes }: JobServicePreviewResponse): readonly (readonly string[])[] {
  return fireTimes.map((each) => [
    instantToText(each.fireTime),
    each.localTime,
    each.timeZone,
    each.schedule,
    each.note,
  ]);
}
