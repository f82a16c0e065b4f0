// Not configuration, which is read in config/env only: handed on to commands as it is.
import { env } from 'node:process';
import { create } from '@bufbuild/protobuf';
import { JobKeySchema } from '../../gen/carillon/v1/job_key_pb.js';
import type { AttemptContext } from '../worker/index.ts';
import { jobKeyToText } from './job-name.ts';

/** The most bytes that Linux takes for one variable with its name, less a little. */
const maxVariableBytes = 128 * 1_024 - 16;

/** The most bytes that are given for parameters in all, well below what a command may be started with. */
const maxParametersBytes = 512 * 1_024;

const parameterPrefix = 'CARILLON_PARAM_';

/** The variables of a command, and the names of those that were too large to be set. */
export type ExecEnvironment = {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly leftOut: readonly string[];
};

/**
 * What a command is told by its environment: that of the worker, and beside it
 *
 *     CARILLON_EXECUTION_ID, CARILLON_ATTEMPT, CARILLON_JOB,
 *     CARILLON_FIRE_TIME, CARILLON_CAUSE, CARILLON_IDEMPOTENCY_KEY
 *     CARILLON_PARAMETERS      the parameters as JSON: text, object, list
 *     CARILLON_PARAM_<NAME>    each of the list, and each member of the object
 *                              that is a text, a number or a boolean; what
 *                              is no letter or digit of the name becomes _
 *
 * Where names meet, the list counts. Parameters of the worker's own
 * environment are not handed on.
 */
export function execEnvironment(context: AttemptContext): ExecEnvironment {
  const { text, object, list } = context.parameters;
  const variables: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(parameterPrefix)) variables[name] = value;
  }
  variables.CARILLON_EXECUTION_ID = String(context.executionId);
  variables.CARILLON_ATTEMPT = String(context.attempt);
  variables.CARILLON_JOB = jobKeyToText(create(JobKeySchema, context.jobKey));
  variables.CARILLON_FIRE_TIME = context.fireTime.toISOString();
  variables.CARILLON_CAUSE = context.cause;
  variables.CARILLON_IDEMPOTENCY_KEY = context.idempotencyKey;
  const named = new Map<string, string>();
  const pairs = list.map(({ name, value }) => ({ name, value }));
  named.set(
    'CARILLON_PARAMETERS',
    JSON.stringify({ text, object, list: pairs.length > 0 ? pairs : undefined }),
  );
  for (const [name, value] of Object.entries(object ?? {})) {
    if (value !== null && typeof value !== 'object') named.set(parameterVariable(name), String(value));
  }
  for (const { name, value } of pairs) named.set(parameterVariable(name), value);

  const leftOut: string[] = [];
  let room = maxParametersBytes;
  for (const [name, value] of named) {
    const bytes = name.length + Buffer.byteLength(value);
    if (bytes > maxVariableBytes || bytes > room || value.includes('\0')) {
      leftOut.push(name);
    } else {
      variables[name] = value;
      room -= bytes;
    }
  }
  return { variables, leftOut };
}

/** What a command reads from its standard input: the text of the parameters, else their object as JSON, else nothing. */
export function execInput({ parameters: { text, object } }: AttemptContext): string {
  return text ?? (object === undefined ? '' : JSON.stringify(object));
}

const parameterVariable = (name: string): string =>
  parameterPrefix + name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
