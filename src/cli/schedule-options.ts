import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import {
  AmbiguousPolicy,
  CronDialect,
  GapPolicy,
  IntervalMode,
  type Schedule,
  ScheduleSchema,
} from '../../gen/carillon/v1/schedule_pb.js';
import { durationFromText, enumFromText, instantFromText, repeated } from './option-values.ts';

/** When a job fires, as options. */
export type ScheduleOptions = {
  readonly cron?: readonly string[];
  readonly dialect?: CronDialect;
  readonly zone?: string;
  readonly gap?: GapPolicy;
  readonly ambiguous?: AmbiguousPolicy;
  readonly every?: Duration;
  readonly fixedDelay?: boolean;
  readonly at?: readonly Timestamp[];
  readonly jitter?: Duration;
  readonly calendar?: readonly string[];
};

/** Every option that says when a job fires, with the options that it says more about; none for those that stand alone. */
const belongsTo: { readonly [Option in keyof ScheduleOptions]-?: readonly (keyof ScheduleOptions)[] } = {
  cron: [],
  dialect: ['cron'],
  zone: ['cron'],
  gap: ['cron'],
  ambiguous: ['cron'],
  every: [],
  fixedDelay: ['every'],
  at: [],
  jitter: ['cron', 'every', 'at'],
  calendar: ['cron', 'every', 'at'],
};

/** The names of the options that say when a job fires. */
export const scheduleOptionNames = Object.keys(belongsTo) as readonly (keyof ScheduleOptions)[];

/** Adds the options that say when a job fires. */
export function declareScheduleOptions(command: Command): Command {
  return command
    .option('--cron <expression>', 'fire by a cron expression; repeatable', repeated(String))
    .option(
      '--dialect <dialect>',
      'the grammar of --cron: unix (default; 5 fields, or 6 with seconds first) or quartz (6 or 7)',
      enumFromText<CronDialect>(CronDialect),
    )
    .option('--zone <zone>', 'the time zone of --cron, such as Europe/Berlin (default: UTC)')
    .option(
      '--gap <policy>',
      '--cron at a time that clocks jump over: run-at-gap-end (default) or skip',
      enumFromText<GapPolicy>(GapPolicy),
    )
    .option(
      '--ambiguous <policy>',
      '--cron at a time that comes twice: first (default), second or both',
      enumFromText<AmbiguousPolicy>(AmbiguousPolicy),
    )
    .option('--every <span>', 'fire at a steady distance, such as 90s or 1h30m', durationFromText)
    .option('--fixed-delay', 'measure --every from the finish of the execution before')
    .option(
      '--at <instant>',
      'fire once, such as 2026-12-01T10:00:00Z; repeatable',
      repeated(instantFromText),
    )
    .option('--jitter <span>', 'fire later by up to this, spread over the jobs', durationFromText)
    .option('--calendar <name>', 'do not run at what this calendar excludes; repeatable', repeated(String));
}

/** The schedules that the options describe, in the order cron, every, at. */
export function schedulesFrom(options: ScheduleOptions, command: Command): Schedule[] {
  refuseStrays(options, command);
  const { cron = [], dialect, zone: timeZone, gap, ambiguous, every, at = [], jitter, calendar } = options;
  const mode = options.fixedDelay ? IntervalMode.FIXED_DELAY : undefined;
  const kinds: NonNullable<MessageInitShape<typeof ScheduleSchema>['kind']>[] = [
    ...cron.map((expression) => {
      const value = { expression, dialect, timeZone, gap, ambiguous };
      return { case: 'cron' as const, value };
    }),
    ...(every ? [{ case: 'interval' as const, value: { every, mode } }] : []),
    ...at.map((atTime) => ({ case: 'once' as const, value: { atTime } })),
  ];
  return kinds.map((kind) => create(ScheduleSchema, { kind, jitter, calendars: [...(calendar ?? [])] }));
}

/** Refuses options that say more about something that is not there. */
function refuseStrays(options: ScheduleOptions, command: Command): void {
  for (const name of scheduleOptionNames) {
    const bases = belongsTo[name];
    if (options[name] === undefined || bases.length === 0) continue;
    if (bases.every((base) => options[base] === undefined)) {
      command.error(`error: ${flagOf(name)} belongs to ${bases.map(flagOf).join(', ')}`);
    }
  }
}

const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
