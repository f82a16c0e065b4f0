import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import {
  type JobServiceBackfillResponse,
  JobServiceBackfillResponseSchema,
} from '../../gen/carillon/v1/job_service_pb.js';
import { type ClientOptions, callService } from './client-command.ts';
import { type JobOptions, jobCommand, jobRefFrom } from './job-name.ts';
import { enumFromText, instantFromText, instantToText } from './option-values.ts';

/** Adds `job backfill`: runs a past range of a job's timetable. */
export function declareBackfill(group: Command): void {
  type Options = ClientOptions &
    JobOptions & {
      readonly from: Timestamp;
      readonly to: Timestamp;
      readonly overlap?: OverlapPolicy;
      readonly dryRun?: boolean;
      readonly requestId?: string;
    };
  const command = jobCommand(group, 'backfill', 'Run a past range of the timetable of a job');
  command
    .requiredOption('--from <instant>', 'the first instant of the range', instantFromText)
    .requiredOption('--to <instant>', 'the end of the range, itself not in it', instantFromText)
    .option(
      '--overlap <policy>',
      'how they go together: buffer-all (default: one after the other), allow, skip, buffer-one or cancel-other',
      enumFromText<OverlapPolicy>(OverlapPolicy),
    )
    .option('--dry-run', 'change nothing and say what would run')
    .option('--request-id <id>', 'makes it safe to repeat the command: the same id runs the range once')
    .action(async (name: string | undefined, options: Options) => {
      const job = jobRefFrom(name, options, command);
      await callService(options, async ({ jobs, output }) => {
        const { from: startTime, to: endTime, overlap, dryRun = false, requestId } = options;
        const reply = await jobs.backfill({ job, startTime, endTime, overlap, dryRun, requestId });
        if (output.isJson) return output.message(JobServiceBackfillResponseSchema, reply);
        await output.line(backfillSummary(reply, dryRun));
        if (!dryRun) return;
        for (const time of reply.fireTimes) await output.line(`  would run ${instantToText(time)}`);
      });
    });
}

/** What a backfill did, or would do, in one line. */
export function backfillSummary(reply: JobServiceBackfillResponse, dryRun: boolean): string {
  const { executionsCreated, backfillId, replayed } = reply;
  const count = executionsCreated === 1n ? '1 execution' : `${executionsCreated} executions`;
  if (dryRun) return `would make ${count}`;
  const again = replayed ? ' (replayed: it was asked for before)' : '';
  if (backfillId === 0n) return `no fire time in that range${again}`;
  return `backfill ${backfillId} made ${count}${again}; execution list --backfill ${backfillId} shows them`;
}
