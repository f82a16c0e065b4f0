import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError } from 'commander';
import type { NamespaceLimits } from '../../gen/carillon/v1/namespace_pb.js';
import type { QueueLimits } from '../../gen/carillon/v1/queue_pb.js';
import type { StartRateSchema } from '../../gen/carillon/v1/start_rate_pb.js';
import { durationFromText, durationToText, integerFromText } from './option-values.ts';

type StartRate = MessageInitShape<typeof StartRateSchema>;

/** What may run, in the shape of a namespace's limits, which a queue's have, too. */
type LimitsMessage = { readonly maxRunning?: number; readonly startRate?: StartRate };

/** What may run, as options. */
export type LimitOptions = {
  readonly maxRunning?: number;
  readonly starts?: StartRate;
  readonly unlimited?: boolean;
};

/** Adds the options that limit what runs. */
export function declareLimitOptions(command: Command): Command {
  return command
    .option('--max-running <n>', 'how many executions run at once', integerFromText(1))
    .option('--starts <n/span>', 'how fast attempts are started, such as 100/1s', startRateFromText);
}

/** The limits that the options describe. */
export const limitsFrom = ({ maxRunning, starts }: LimitOptions): LimitsMessage => ({
  maxRunning,
  startRate: starts,
});

/** The same, where they replace what was set: to lift a limit must be said. */
export function newLimitsFrom(options: LimitOptions, command: Command): LimitsMessage {
  const isLimited = options.maxRunning !== undefined || options.starts !== undefined;
  if (isLimited === (options.unlimited === true))
    return command.error('error: give --max-running, --starts or both, or else --unlimited');
  return limitsFrom(options);
}

/** Limits as cells of a table. */
export function limitCells(limits: NamespaceLimits | QueueLimits | undefined): readonly string[] {
  const { maxRunning = 0, startRate } = limits ?? {};
  const starts =
    startRate && `${startRate.count}/${startRate.period ? durationToText(startRate.period) : '1s'}`;
  return [maxRunning === 0 ? '-' : String(maxRunning), starts ?? '-'];
}

/** The heads of those cells. */
export const limitHeads: readonly string[] = ['MAX RUNNING', 'STARTS'];

function startRateFromText(text: string): StartRate {
  const [, count, span] = /^(\d+)\/(.+)$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('It looks like 100/1s.');
  return { count: integerFromText(1)(count), period: durationFromText(span!) };
}
