import { readFileSync } from 'node:fs';
import { create, fromJsonString, type JsonObject, type MessageInitShape } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { type Job, JobSchema, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';
import type { ParametersSchema } from '../../gen/carillon/v1/parameters_pb.js';
import { jobKeyFromText } from './job-name.ts';
import {
  durationFromText,
  enumFromText,
  integerFromText,
  jsonObjectFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';
import {
  declareScheduleOptions,
  type ScheduleOptions,
  scheduleOptionNames,
  schedulesFrom,
} from './schedule-options.ts';
import { declareTargetOptions, type TargetOptions, targetFrom, targetOptionNames } from './target-options.ts';

/** What a run is told, as options. */
export type ParameterOptions = {
  readonly param?: readonly Pair[];
  readonly paramsJson?: JsonObject;
  readonly text?: string;
};

/** Adds the options that say what a run is told. */
export function declareParameterOptions(command: Command): Command {
  return command
    .option('--param <name=value>', 'a named parameter; repeatable', repeated(pairFromText('=')))
    .option('--params-json <object>', 'parameters as a JSON object', jsonObjectFromText)
    .option('--text <text>', 'parameters as free text');
}

/** The parameters that the options describe; undefined when there are none. */
export function parametersFrom({
  param,
  paramsJson,
  text,
}: ParameterOptions): MessageInitShape<typeof ParametersSchema> | undefined {
  if (!param && !paramsJson && text === undefined) return undefined;
  return { text, object: paramsJson, list: [...(param ?? [])] };
}

/** A whole definition, as options. */
export type DefinitionOptions = ScheduleOptions &
  TargetOptions &
  ParameterOptions & {
    readonly file?: string;
    readonly description?: string;
    readonly label?: readonly Pair[];
    readonly overlap?: OverlapPolicy;
    readonly priority?: number;
    readonly maxRunning?: number;
    readonly retryMax?: number;
    readonly timeout?: Duration;
    readonly paused?: boolean;
  };

const definitionOptionNames: readonly (keyof DefinitionOptions)[] = [
  ...scheduleOptionNames,
  ...targetOptionNames,
  'param',
  'paramsJson',
  'text',
  'description',
  'label',
  'overlap',
  'priority',
  'maxRunning',
  'retryMax',
  'timeout',
  'paused',
];

/** Adds the options that define a job. */
export function declareDefinitionOptions(command: Command): Command {
  declareTargetOptions(declareScheduleOptions(command))
    .option('--description <text>', 'a description for people')
    .option('--label <name=value>', 'a label to select by; repeatable', repeated(pairFromText('=')))
    .option(
      '--overlap <policy>',
      'when the execution before is still open: skip (default), buffer-one, buffer-all, cancel-other or allow',
      enumFromText<OverlapPolicy>(OverlapPolicy),
    )
    .option('--priority <n>', 'larger goes first (default: 0)', integerFromText(-1_000_000))
    .option('--max-running <n>', 'how many executions run at once (default: no limit)', integerFromText(1))
    .option('--retry-max <n>', 'attempts in all (default: 3)', integerFromText(1))
    .option('--timeout <span>', 'how long one attempt may take (default: 5m)', durationFromText)
    .option('--paused', 'add the job with a pause');
  declareParameterOptions(command);
  return command.option(
    '--file <path>',
    'the definition as proto JSON of carillon.v1.Job; - is standard input',
  );
}

/** The job that the command line defines, by options or by a file. */
export function jobFrom(name: string | undefined, options: DefinitionOptions, command: Command): Job {
  if (options.file !== undefined) return jobFromFile(options.file, name, options, command);
  if (name === undefined) return command.error('error: a job needs a name, or --file');
  const { retryMax } = options;
  return create(JobSchema, {
    key: jobKeyFromText(name),
    description: options.description,
    labels: mapFromPairs(options.label),
    schedules: schedulesFrom(options, command),
    target: targetFrom(options, command),
    parameters: parametersFrom(options),
    priority: options.priority,
    overlap: options.overlap,
    maxRunning: options.maxRunning,
    retry: retryMax === undefined ? undefined : { maxAttempts: retryMax },
    attemptTimeout: options.timeout,
    startPaused: options.paused,
  });
}

function jobFromFile(
  path: string,
  name: string | undefined,
  options: DefinitionOptions,
  command: Command,
): Job {
  if (name !== undefined || definitionOptionNames.some((option) => options[option] !== undefined)) {
    command.error(
      'error: --file holds the whole definition; a name or options of the definition cannot go with it',
    );
  }
  try {
    return fromJsonString(JobSchema, readFileSync(path === '-' ? 0 : path, 'utf8'));
  } catch (error) {
    return command.error(`error: ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
