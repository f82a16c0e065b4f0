import { type Job, JobState, MisfirePolicy, OverlapPolicy } from '../../../gen/carillon/v1/job_pb.js';
import type { Target } from '../../../gen/carillon/v1/target_pb.js';
import type { Zone } from '../../domain/schedule/zone.ts';
import { localTimeText } from '../local-times.ts';

/** RuoYi's name of the group that jobs are in where nobody says. */
const defaultGroup = 'DEFAULT';

/** The group that RuoYi's clients mean. */
export const groupFromName = (name: string): string => (name === defaultGroup ? 'default' : name);

const misfirePolicies: Readonly<Record<MisfirePolicy, string>> = {
  [MisfirePolicy.UNSPECIFIED]: '0',
  [MisfirePolicy.RUN_ALL]: '1',
  [MisfirePolicy.RUN_LAST]: '2',
  [MisfirePolicy.SKIP]: '3',
};

/** A job in the fields of RuoYi's SysJob; times are those of the zone. */
export function sysJobFromJob(job: Job, zone: Zone): Readonly<Record<string, unknown>> {
  const group = job.key?.group ?? '';
  return {
    jobId: Number(job.id),
    jobName: job.key?.name ?? '',
    jobGroup: group === 'default' ? defaultGroup : group,
    invokeTarget: invokeTargetOf(job.target),
    cronExpression: cronExpressionOf(job),
    misfirePolicy: misfirePolicies[job.misfire?.policy ?? MisfirePolicy.UNSPECIFIED],
    concurrent: job.overlap === OverlapPolicy.ALLOW ? '0' : '1',
    status: job.state === JobState.PAUSED ? '1' : '0',
    createBy: '',
    createTime: localTimeText(job.createTime, zone),
    updateBy: '',
    updateTime: localTimeText(job.updateTime, zone),
    remark: job.description,
    nextValidTime: localTimeText(job.nextFireTime, zone),
  };
}

function cronExpressionOf({ schedules }: Job): string {
  const cron = schedules.find(({ kind }) => kind.case === 'cron')?.kind;
  return cron?.case === 'cron' ? cron.value.expression : '';
}

/** Where a job is delivered, in one line. */
export function invokeTargetOf(target: Target | undefined): string {
  const kind = target?.kind;
  switch (kind?.case) {
    case 'http':
      return `${kind.value.method} ${kind.value.url}`;
    case 'grpc':
      return `grpc://${kind.value.address}/${kind.value.method}`;
    case 'socket':
      return `tcp://${kind.value.host}:${kind.value.port}`;
    case 'worker':
      return `queue://${kind.value.queue}`;
    default:
      return '';
  }
}
