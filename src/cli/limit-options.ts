import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError } from 'commander';
import type { NamespaceLimits, NamespaceLimitsSchema } from '../../gen/carillon/v1/namespace_pb.js';
import type { QueueLimits } from '../../gen/carillon/v1/queue_pb.js';
import type { StartRateSchema } from '../../gen/carillon/v1/start_rate_pb.js';
import { durationFromText, durationToText, integerFromText } from './option-values.ts';

type StartRate = MessageInitShape<typeof StartRateSchema>;

type NamespaceLimitsMessage = Exclude<MessageInitShape<typeof NamespaceLimitsSchema>, NamespaceLimits>;

/** What may run, in the shape of a namespace's limits, which a queue's have, too. */
type LimitsMessage = { readonly maxRunning?: number; readonly startRate?: StartRate };

/** What may run, as options. */
export type LimitOptions = {
  readonly maxRunning?: number;
  readonly starts?: StartRate;
  readonly unlimited?: boolean;
};

/** What may run and what calls may make, as the options of a namespace. */
export type NamespaceLimitOptions = LimitOptions & {
  readonly maxJobs?: number;
  readonly executionsPerMinute?: number;
  readonly logBytes?: bigint;
  readonly maxStreams?: number;
};

/** Adds the options that limit what runs. */
export function declareLimitOptions(command: Command): Command {
  return command
    .option('--max-running <n>', 'how many executions run at once', integerFromText(1))
    .option('--starts <n/span>', 'how fast attempts are started, such as 100/1s', startRateFromText);
}

/** Adds the options that limit a namespace. */
export function declareNamespaceLimitOptions(command: Command): Command {
  return declareLimitOptions(command)
    .option('--max-jobs <n>', 'how many jobs there are', integerFromText(1))
    .option('--executions-per-minute <n>', 'how many executions calls make in a minute', integerFromText(1))
    .option('--log-bytes <n>', 'how many bytes of log are kept of one attempt', logBytesFromText)
    .option('--max-streams <n>', 'how many streams are open at once on each instance', integerFromText(1));
}

/** The limits that the options describe. */
export const limitsFrom = ({ maxRunning, starts }: LimitOptions): LimitsMessage => ({
  maxRunning,
  startRate: starts,
});

/** The limits that the options of a namespace describe. */
export const namespaceLimitsFrom = (options: NamespaceLimitOptions): NamespaceLimitsMessage => ({
  ...limitsFrom(options),
  maxJobs: options.maxJobs,
  executionsPerMinute: options.executionsPerMinute,
  logBytesPerAttempt: options.logBytes,
  maxStreams: options.maxStreams,
});

/** Limits that replace what was set: to lift a limit must be said. */
export function newLimitsFrom(options: LimitOptions, command: Command): LimitsMessage {
  const limits = limitsFrom(options);
  if (isLimited(limits) === (options.unlimited === true))
    return command.error('error: give --max-running, --starts or both, or else --unlimited');
  return limits;
}

/** The same of a namespace. */
export function newNamespaceLimitsFrom(
  options: NamespaceLimitOptions,
  command: Command,
): NamespaceLimitsMessage {
  const limits = namespaceLimitsFrom(options);
  if (isLimited(limits) === (options.unlimited === true))
    return command.error('error: give at least one limit, or else --unlimited');
  return limits;
}

const isLimited = (limits: object): boolean => Object.values(limits).some((limit) => limit !== undefined);

/** Limits as cells of a table. */
export function limitCells(limits: NamespaceLimits | QueueLimits | undefined): readonly string[] {
  const { maxRunning = 0, startRate } = limits ?? {};
  const starts =
    startRate && `${startRate.count}/${startRate.period ? durationToText(startRate.period) : '1s'}`;
  return [maxRunning === 0 ? '-' : String(maxRunning), starts ?? '-'];
}

/** The heads of those cells. */
export const limitHeads: readonly string[] = ['MAX RUNNING', 'STARTS'];

/** What calls may make in a namespace, as a cell of a table. */
export function intakeCell(limits: NamespaceLimits | undefined): string {
  const { maxJobs = 0, executionsPerMinute = 0, logBytesPerAttempt = 0n, maxStreams = 0 } = limits ?? {};
  const parts = [
    maxJobs > 0 && `jobs ${maxJobs}`,
    executionsPerMinute > 0 && `executions ${executionsPerMinute}/min`,
    logBytesPerAttempt > 0n && `log ${logBytesPerAttempt} B`,
    maxStreams > 0 && `streams ${maxStreams}`,
  ];
  return parts.filter((part) => part !== false).join(', ') || '-';
}

/** More than an int32 holds. */
function logBytesFromText(text: string): bigint {
  const value = /^\d{1,13}$/.test(text) ? BigInt(text) : 0n;
  if (value < 1_024n) throw new InvalidArgumentError('It is a whole number, 1024 or more.');
  return value;
}

function startRateFromText(text: string): StartRate {
  const [, count, span] = /^(\d+)\/(.+)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('It looks like 100/1s.');
  return { count: integerFromText(1)(count), period: durationFromText(span!) };
}
