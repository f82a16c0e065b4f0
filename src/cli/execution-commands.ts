import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import {
  type Execution,
  ExecutionCause,
  ExecutionSchema,
  ExecutionState,
} from '../../gen/carillon/v1/execution_pb.js';
import {
  type ExecutionServiceCancelRequestSchema,
  ExecutionServiceCancelResponseSchema,
} from '../../gen/carillon/v1/execution_service_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { executionProperties, executionRow, executionTitles } from './execution-lines.ts';
import { jobKeyFromText, jobKeyToText } from './job-name.ts';
import {
  enumFromText,
  idFromText,
  instantFromText,
  integerFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';
import { takeItems } from './pages.ts';
import { declareLogs, declareWatch } from './stream-commands.ts';

/** Adds `carillon execution …`: what ExecutionService does. */
export function declareExecutionCommands(program: Command): void {
  const group = program.command('execution').description('See what ran and why, cancel, follow live');
  declareList(group);
  declareGet(group);
  declareCancel(group);
  declareLogs(group);
  declareWatch(group);
}

function declareGet(group: Command): void {
  clientCommand(group, 'get', 'Show an execution with its attempts')
    .argument('<id>', 'the id of the execution', idFromText)
    .action(async (executionId: bigint, options: ClientOptions) => {
      await callService(options, async ({ executions, output }) => {
        const { execution = create(ExecutionSchema) } = await executions.get({ executionId });
        if (output.isJson) return output.message(ExecutionSchema, execution);
        await output.properties(executionProperties(execution));
      });
    });
}

function declareList(group: Command): void {
  type Options = ClientOptions & {
    readonly job?: string;
    readonly namespace?: string;
    readonly group?: string;
    readonly label?: readonly Pair[];
    readonly state?: readonly ExecutionState[];
    readonly cause?: readonly ExecutionCause[];
    readonly backfill?: bigint;
    readonly from?: Timestamp;
    readonly until?: Timestamp;
    readonly oldestFirst?: boolean;
    readonly limit: number;
  };
  clientCommand(group, 'list', 'List executions, newest first')
    .option('--job <name>', 'only of this job, [namespace/][group/]name')
    .option('--namespace <namespace>', 'only of jobs of this namespace')
    .option('--group <group>', 'only of jobs of this group')
    .option('--label <name=value>', 'only of jobs with this label; repeatable', repeated(pairFromText('=')))
    .option('--state <state>', 'only in this state; repeatable', repeated(enumFromText(ExecutionState)))
    .option('--cause <cause>', 'only with this cause; repeatable', repeated(enumFromText(ExecutionCause)))
    .option('--backfill <id>', 'only of this backfill', idFromText)
    .option('--from <instant>', 'only with a fire time not before this', instantFromText)
    .option('--until <instant>', 'only with a fire time before this', instantFromText)
    .option('--oldest-first', 'in the order in which they were made')
    .option('--limit <n>', 'how many at most', integerFromText(1), 20)
    .action(async (options: Options) => {
      const filter = {
        job: options.job === undefined ? undefined : jobRefFromName(options.job),
        namespace: options.namespace,
        group: options.group,
        labels: mapFromPairs(options.label),
        states: [...(options.state ?? [])],
        causes: [...(options.cause ?? [])],
        backfillId: options.backfill,
        startFireTime: options.from,
        endFireTime: options.until,
      };
      const orderBy = options.oldestFirst ? 'create_time' : 'create_time desc';
      await callService(options, async ({ executions, output }) => {
        const found = await takeItems<Execution>(options.limit, output, async (page) => {
          const reply = await executions.list({ filter, orderBy, ...page });
          return { items: reply.executions, nextPageToken: reply.nextPageToken };
        });
        if (!output.isJson) return output.table(executionTitles, found.map(executionRow));
        for (const execution of found) await output.message(ExecutionSchema, execution);
      });
    });
}

function declareCancel(group: Command): void {
  type Options = ClientOptions & {
    readonly job?: string;
    readonly backfill?: bigint;
    readonly reason?: string;
  };
  const command = clientCommand(group, 'cancel', 'Cancel executions that are open');
  command
    .argument('[ids...]', 'the ids of executions', repeated(idFromText))
    .option('--job <name>', 'all open executions of this job, [namespace/][group/]name')
    .option('--backfill <id>', 'all open executions of this backfill', idFromText)
    .option('--reason <text>', 'why; kept with the executions')
    .action(async (ids: readonly bigint[], options: Options) => {
      const executionsToCancel = cancelChoiceFrom(ids, options);
      if (executionsToCancel === undefined)
        command.error('error: name executions by id, or a job by --job, or a backfill by --backfill');
      await callService(options, async ({ executions, output, setExitCode }) => {
        const reply = await executions.cancel({
          executions: executionsToCancel,
          reason: options.reason,
        });
        const missing = reply.notFound.length + reply.jobsNotFound.length;
        if (output.isJson) {
          await output.message(ExecutionServiceCancelResponseSchema, reply);
        } else {
          for (const id of reply.canceled) await output.line(`${id} canceled, or asked to stop`);
          for (const id of reply.alreadyFinished) await output.line(`${id} had already finished`);
          if (ids.length === 0 && missing === 0 && reply.count === 0n) await output.line('none was open');
          for (const id of reply.notFound) output.remark(`no execution ${id}`);
          for (const { ref } of reply.jobsNotFound) {
            output.remark(`no job ${ref.case === 'key' ? jobKeyToText(ref.value) : ref.value}`);
          }
        }
        if (missing > 0) setExitCode(1);
      });
    });
}

/** What to cancel, named in one of three ways; undefined when it is none of them or several. */
function cancelChoiceFrom(
  ids: readonly bigint[],
  { job, backfill }: { readonly job?: string; readonly backfill?: bigint },
): MessageInitShape<typeof ExecutionServiceCancelRequestSchema>['executions'] {
  const choices = [
    ...(ids.length > 0 ? [{ case: 'byIds' as const, value: { executionIds: [...ids] } }] : []),
    ...(job === undefined ? [] : [{ case: 'byJobs' as const, value: { jobs: [jobRefFromName(job)] } }]),
    ...(backfill === undefined ? [] : [{ case: 'byBackfill' as const, value: backfill }]),
  ];
  return choices.length === 1 ? choices[0] : undefined;
}

const jobRefFromName = (name: string) => ({ ref: { case: 'key' as const, value: jobKeyFromText(name) } });
