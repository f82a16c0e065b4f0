import { create } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { JobSchema, JobState, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import {
  JobServiceAddResponseSchema,
  JobServiceDeleteResponseSchema,
  JobServicePauseResponseSchema,
  JobServicePreviewResponseSchema,
  JobServiceResumeResponseSchema,
  JobServiceTriggerResponseSchema,
  MissedPolicy,
  OnRunning,
} from '../../gen/carillon/v1/job_service_pb.js';
import { declareBackfill } from './backfill-command.ts';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import {
  type DefinitionOptions,
  declareDefinitionOptions,
  declareParameterOptions,
  jobFrom,
  type ParameterOptions,
  parametersFrom,
} from './definition-options.ts';
import { executionSummary } from './execution-lines.ts';
import {
  jobProperties,
  jobRow,
  jobSummary,
  jobTitles,
  previewRows,
  previewTitles,
  warningLine,
} from './job-lines.ts';
import { type JobOptions, jobCommand, jobKeyFromText, jobKeyToText, jobRefFrom } from './job-name.ts';
import {
  enumFromText,
  instantFromText,
  instantToText,
  integerFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';
import { takeItems } from './pages.ts';
import { declareScheduleOptions, type ScheduleOptions, schedulesFrom } from './schedule-options.ts';

/** Adds `carillon job …`: what JobService does. */
export function declareJobCommands(program: Command): void {
  const group = program.command('job').description('Add jobs, look at them, fire and hold them');
  declareAdd(group);
  declareGet(group);
  declareList(group);
  declarePause(group);
  declareResume(group);
  declareTrigger(group);
  declareBackfill(group);
  declareDelete(group);
  declarePreview(group);
}

function declareAdd(group: Command): void {
  type Options = ClientOptions &
    DefinitionOptions & { readonly replace?: boolean; readonly requestId?: string };
  const command = clientCommand(group, 'add [name]', 'Add a job, or replace its definition');
  declareDefinitionOptions(command)
    .option('--replace', 'replace the job if there is one')
    .option('--request-id <id>', 'makes it safe to repeat the command')
    .action(async (name: string | undefined, options: Options) => {
      const job = jobFrom(name, options, command);
      await callService(options, async ({ jobs, output }) => {
        const { replace, requestId } = options;
        const reply = await jobs.add({ job, replace, requestId });
        if (output.isJson) return output.message(JobServiceAddResponseSchema, reply);
        const word = reply.created ? 'added' : replace ? 'replaced' : 'was added before:';
        await output.line(`${word} ${reply.job ? jobSummary(reply.job) : ''}`);
        for (const warning of reply.warnings) output.remark(warningLine(warning));
      });
    });
}

function declareGet(group: Command): void {
  const command = jobCommand(group, 'get', 'Show a job');
  command.action(async (name: string | undefined, options: ClientOptions & JobOptions) => {
    const ref = jobRefFrom(name, options, command);
    await callService(options, async ({ jobs, output }) => {
      const { job = create(JobSchema) } = await jobs.get({ job: ref });
      if (output.isJson) return output.message(JobSchema, job);
      await output.properties(jobProperties(job));
    });
  });
}

function declareList(group: Command): void {
  type Options = ClientOptions & {
    readonly namespace?: string;
    readonly group?: string;
    readonly namePrefix?: string;
    readonly label?: readonly Pair[];
    readonly state?: readonly JobState[];
    readonly limit: number;
  };
  clientCommand(group, 'list', 'List jobs by name')
    .option('--namespace <namespace>', 'only jobs of this namespace')
    .option('--group <group>', 'only jobs of this group')
    .option('--name-prefix <text>', 'only jobs whose name begins so')
    .option('--label <name=value>', 'only jobs with this label; repeatable', repeated(pairFromText('=')))
    .option('--state <state>', 'only jobs in this state; repeatable', repeated(enumFromText(JobState)))
    .option('--limit <n>', 'how many at most', integerFromText(1), 100)
    .action(async (options: Options) => {
      const { namespace, group, namePrefix, label, state = [], limit } = options;
      const filter = { namespace, group, namePrefix, labels: mapFromPairs(label), states: [...state] };
      await callService(options, async ({ jobs, output }) => {
        const found = await takeItems(limit, output, async (page) => {
          const { jobs: items, nextPageToken } = await jobs.list({ filter, orderBy: 'key', ...page });
          return { items, nextPageToken };
        });
        if (!output.isJson) return output.table(jobTitles, found.map(jobRow));
        for (const job of found) await output.message(JobSchema, job);
      });
    });
}

function declarePause(group: Command): void {
  type Options = ClientOptions & JobOptions & { readonly reason?: string; readonly until?: Timestamp };
  const command = jobCommand(group, 'pause', 'Hold a job: its fire times are recorded and not run');
  command
    .option('--reason <text>', 'why, for whoever looks')
    .option('--until <instant>', 'when the pause lifts by itself', instantFromText)
    .action(async (name: string | undefined, options: Options) => {
      const ref = jobRefFrom(name, options, command);
      await callService(options, async ({ jobs, output }) => {
        const { reason, until: untilTime } = options;
        const reply = await jobs.pause({ jobs: { case: 'job', value: ref }, reason, untilTime });
        if (output.isJson) return output.message(JobServicePauseResponseSchema, reply);
        const word = reply.changed > 0n ? 'paused' : 'was paused already:';
        for (const job of reply.jobs) await output.line(`${word} ${jobSummary(job)}, pause ${reply.pauseId}`);
      });
    });
}

function declareResume(group: Command): void {
  type Options = ClientOptions &
    JobOptions & { readonly pauseId?: string; readonly missed?: MissedPolicy; readonly dryRun?: boolean };
  const command = jobCommand(group, 'resume', 'Let a job fire again');
  command
    .option('--pause-id <id>', 'take away this pause only (default: all of them)')
    .option(
      '--missed <policy>',
      'what was held back: drop (default), run-last or run-all',
      enumFromText<MissedPolicy>(MissedPolicy),
    )
    .option('--dry-run', 'change nothing and say what would happen')
    .action(async (name: string | undefined, options: Options) => {
      const ref = jobRefFrom(name, options, command);
      await callService(options, async ({ jobs, output }) => {
        const { pauseId, missed, dryRun } = options;
        const reply = await jobs.resume({ jobs: { case: 'job', value: ref }, pauseId, missed, dryRun });
        if (output.isJson) return output.message(JobServiceResumeResponseSchema, reply);
        const word = reply.changed > 0n ? (dryRun ? 'would resume' : 'resumed') : 'nothing to take away:';
        for (const job of reply.jobs) await output.line(`${word} ${jobSummary(job)}`);
        for (const time of reply.heldBackFireTimes) {
          await output.line(`  ${dryRun ? 'would run' : 'runs'} ${instantToText(time)}`);
        }
      });
    });
}

function declareTrigger(group: Command): void {
  type Options = ClientOptions &
    JobOptions &
    ParameterOptions & {
      readonly requestId?: string;
      readonly overlap?: OverlapPolicy;
      readonly requireActive?: boolean;
      readonly allowFinished?: boolean;
    };
  const command = jobCommand(group, 'trigger', 'Fire a job now');
  declareParameterOptions(command)
    .option('--request-id <id>', 'makes it safe to repeat the command: the same id fires once')
    .option(
      '--overlap <policy>',
      'overrides the policy of the job: skip, buffer-one, buffer-all, cancel-other or allow',
      enumFromText<OverlapPolicy>(OverlapPolicy),
    )
    .option('--require-active', 'refuse when the job is paused')
    .option('--allow-finished', 'also fire a job that is finished')
    .action(async (name: string | undefined, options: Options) => {
      const job = jobRefFrom(name, options, command);
      const parameters = parametersFrom(options);
      await callService(options, async ({ jobs, output }) => {
        const { requestId, overlap, requireActive, allowFinished } = options;
        const reply = await jobs.trigger({
          job,
          parameters,
          requestId,
          overlap,
          requireActive,
          allowFinished,
        });
        if (output.isJson) return output.message(JobServiceTriggerResponseSchema, reply);
        const { execution, replayed } = reply;
        const again = replayed ? ' (replayed: it was triggered before)' : '';
        await output.line(`execution ${execution ? executionSummary(execution) : ''}${again}`);
      });
    });
}

function declareDelete(group: Command): void {
  type Options = ClientOptions & JobOptions & { readonly onRunning?: OnRunning };
  const command = jobCommand(group, 'delete', 'Delete a job; its history stays');
  command
    .option(
      '--on-running <what>',
      'what happens to open executions: leave (default), cancel or fail-if-running',
      enumFromText<OnRunning>(OnRunning),
    )
    .action(async (name: string | undefined, options: Options) => {
      const ref = jobRefFrom(name, options, command);
      await callService(options, async ({ jobs, output }) => {
        const { onRunning } = options;
        const reply = await jobs.delete({ jobs: { case: 'job', value: ref }, onRunning });
        if (output.isJson) return output.message(JobServiceDeleteResponseSchema, reply);
        const shown = ref.ref.case === 'key' ? jobKeyToText(ref.ref.value) : `job ${options.id}`;
        await output.line(reply.existed ? `deleted ${shown}` : `there was no ${shown}`);
      });
    });
}

function declarePreview(group: Command): void {
  type Options = ClientOptions &
    JobOptions &
    ScheduleOptions & { readonly as?: string; readonly from?: Timestamp; readonly count?: number };
  const command = jobCommand(group, 'preview', 'Show when a job, or schedules not saved yet, would fire');
  declareScheduleOptions(command)
    .option('--as <name>', 'the job that the schedules would belong to, [namespace/][group/]name')
    .option('--from <instant>', 'fire times after this (default: now)', instantFromText)
    .option('--count <n>', 'how many, up to 1,000 (default: 10)', integerFromText(1))
    .action(async (name: string | undefined, options: Options) => {
      const schedules = schedulesFrom(options, command);
      const { id, from: fromTime, count } = options;
      const isStored = name !== undefined || id !== undefined;
      if (isStored === schedules.length > 0) {
        command.error('error: name a job, or give schedules with --cron, --every or --at');
      }
      if (isStored && options.as !== undefined) command.error('error: --as is for schedules not saved yet');
      const job = isStored ? jobRefFrom(name, options, command) : undefined;
      const key = options.as === undefined ? undefined : jobKeyFromText(options.as);
      await callService(options, async ({ jobs, output }) => {
        const reply = await jobs.preview({ job, schedules, key, fromTime, count });
        if (output.isJson) return output.message(JobServicePreviewResponseSchema, reply);
        await output.table(previewTitles, previewRows(reply));
        for (const warning of reply.warnings) output.remark(warningLine(warning));
      });
    });
}
