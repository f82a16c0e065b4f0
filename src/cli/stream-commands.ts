import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import {
  type Execution,
  ExecutionState,
  LogEntrySchema,
  LogLevel,
} from '../../gen/carillon/v1/execution_pb.js';
import {
  type ExecutionServiceStreamRequestSchema,
  type ExecutionServiceStreamResponse,
  ExecutionServiceStreamResponseSchema,
} from '../../gen/carillon/v1/execution_service_pb.js';
import { systemClock } from '../platform/clock.ts';
import { type ClientCall, type ClientOptions, callService, clientCommand } from './client-command.ts';
import { executionSummary, gapLine, logLine } from './execution-lines.ts';
import { followStream } from './follow-stream.ts';
import { type JobOptions, jobKeyToText, jobRefFrom } from './job-name.ts';
import {
  enumFromText,
  idFromText,
  instantToText,
  integerFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';

type LineOptions = { readonly minLevel?: LogLevel; readonly tail?: number };

function declareLineOptions(command: Command): Command {
  return command
    .option('--tail <n>', 'begin with the last n lines only', integerFromText(0))
    .option(
      '--min-level <level>',
      'leave out what is below debug, info, warn or error',
      enumFromText<LogLevel>(LogLevel),
    );
}

/** Adds `execution logs`: the lines of one execution, live with --follow. */
export function declareLogs(group: Command): void {
  const command = clientCommand(group, 'logs', 'Print the log of an execution').argument(
    '<id>',
    'the id of the execution',
    idFromText,
  );
  declareLineOptions(command)
    .option('--follow', 'go on live to the end; exits 0 when the execution succeeded, 1 otherwise')
    .action(async (id: bigint, options: ClientOptions & LineOptions & { readonly follow?: boolean }) => {
      const { minLevel, tail, follow = false } = options;
      await callService(options, async (call) => {
        const source = { case: 'executionId' as const, value: id };
        const last = await printLines(call, { source, follow, minLevel, tail });
        if (!follow) return;
        if (last) call.output.remark(executionSummary(last));
        if (last?.state !== ExecutionState.SUCCEEDED) call.setExitCode(1);
      });
    });
}

/** Prints the lines of one execution; answers the execution as it was last seen. */
async function printLines(
  call: ClientCall,
  request: MessageInitShape<typeof ExecutionServiceStreamRequestSchema>,
): Promise<Execution | undefined> {
  const { output } = call;
  let last: Execution | undefined;
  let attempt = 1;
  for await (const { event } of follow(call, request)) {
    if (event.case === 'execution') last = event.value;
    const newest = event.case === 'log' || event.case === 'execution' ? event.value.attempt : attempt;
    if (newest > attempt) {
      attempt = newest;
      output.remark(`attempt ${attempt}`);
    }
    if (event.case === 'gap') output.remark(gapLine(event.value));
    if (event.case !== 'log') continue;
    if (output.isJson) await output.message(LogEntrySchema, event.value);
    else await output.line(logLine(event.value));
  }
  return last;
}

/** Adds `execution watch`: state changes and lines of a job or of many, until one leaves it. */
export function declareWatch(group: Command): void {
  type Options = ClientOptions &
    JobOptions &
    LineOptions & {
      readonly namespace?: string;
      readonly group?: string;
      readonly namePrefix?: string;
      readonly label?: readonly Pair[];
    };
  const command = clientCommand(
    group,
    'watch [name]',
    'Watch a job, or many, live: state changes and log lines',
  );
  declareLineOptions(command)
    .option('--id <id>', 'the job by its id', idFromText)
    .option('--namespace <namespace>', 'watch jobs of this namespace')
    .option('--group <group>', 'watch jobs of this group')
    .option('--name-prefix <text>', 'watch jobs whose name begins so')
    .option('--label <name=value>', 'watch jobs with this label; repeatable', repeated(pairFromText('=')))
    .action(async (name: string | undefined, options: Options) => {
      const { minLevel, tail, namespace, group, namePrefix, label } = options;
      const isSelector = Boolean(namespace || group || namePrefix || label);
      const isJob = name !== undefined || options.id !== undefined;
      if (isSelector && isJob) command.error('error: watch one job, or select many, not both');
      const source = isSelector
        ? { case: 'selector' as const, value: { namespace, group, namePrefix, labels: mapFromPairs(label) } }
        : { case: 'job' as const, value: jobRefFrom(name, options, command) };
      await callService(options, (call) => printEvents(call, { source, minLevel, tail }));
    });
}

/** Prints all that happens: in words, or as the messages of the stream without heartbeats. */
async function printEvents(
  call: ClientCall,
  request: MessageInitShape<typeof ExecutionServiceStreamRequestSchema>,
): Promise<void> {
  for await (const message of follow(call, request)) {
    if (message.event.case === 'heartbeat') continue;
    if (call.output.isJson) await call.output.message(ExecutionServiceStreamResponseSchema, message);
    else await call.output.line(eventLine(message));
  }
}

/** What happened, in one line. */
export function eventLine({ event }: ExecutionServiceStreamResponse): string {
  switch (event.case) {
    case 'execution': {
      const { jobKey, finishTime, startTime, createTime } = event.value;
      const time = instantToText(finishTime ?? startTime ?? createTime);
      return `${time} ${jobKeyToText(jobKey)} ${executionSummary(event.value)}`;
    }
    case 'log': {
      const { executionId, attempt } = event.value;
      return `${logLine(event.value)} (${executionId}${attempt > 1 ? `, attempt ${attempt}` : ''})`;
    }
    case 'gap':
      return gapLine(event.value);
    default:
      return '';
  }
}

function follow(
  { executions, signal, output }: ClientCall,
  request: MessageInitShape<typeof ExecutionServiceStreamRequestSchema>,
): AsyncGenerator<ExecutionServiceStreamResponse> {
  return followStream(executions, {
    request,
    signal,
    clock: systemClock,
    onInterrupted: () => output.remark('the connection was interrupted, resuming'),
  });
}
