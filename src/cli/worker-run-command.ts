import type { Duration } from '@bufbuild/protobuf/wkt';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { Command, Option } from 'commander';
import { Worker, type WorkerLogger, WorkerRefusedError } from '../worker/index.ts';
import { tokenFileFromText, tokenToShow } from './client-command.ts';
import {
  addressFromText,
  addTlsOptions,
  type ConnectionTls,
  hasTls,
  hostAndPort,
} from './connection-options.ts';
import { ExecHandler } from './exec-handler.ts';
import {
  durationFromText,
  integerFromText,
  mapFromPairs,
  type Pair,
  pairFromText,
  repeated,
} from './option-values.ts';
import { plainText } from './plain-text.ts';

type Options = ConnectionTls & {
  readonly queue: readonly string[];
  readonly exec: string;
  readonly address?: readonly string[];
  readonly namespace?: string;
  readonly tokenFile?: string;
  readonly label?: readonly Pair[];
  readonly capacity: number;
  readonly id?: string;
  readonly grace?: Duration;
  readonly shell: string;
  readonly jsonResult?: boolean;
};

const help = `
The command learns of its execution by CARILLON_EXECUTION_ID, _ATTEMPT, _JOB, _FIRE_TIME, _CAUSE,
_IDEMPOTENCY_KEY, _PARAMETERS (JSON) and CARILLON_PARAM_<NAME>; its standard input is the text of the
parameters, else their object as JSON. Its output becomes log lines.

Exit code 0 is success. 64, 65, 77, 78, 126 and 127 are failures that are not retried, any other is one
that may be. SIGTERM lets commands finish and ends the worker; a second one does not wait for them.
`;

/** Adds `worker run`, which `worker` alone is as well: a worker in this process whose attempts are shell commands. */
export function declareWorkerRun(group: Command): void {
  const command = new Command('run')
    .description('Run a worker that runs a shell command for each execution')
    .requiredOption(
      '--queue <queue>',
      'a queue to serve; repeatable',
      repeated((text) => text),
    )
    .requiredOption('--exec <command>', 'the command, for the shell')
    .addOption(
      new Option(
        '--address <host:port>',
        'the gRPC port of an instance, https://host:port for TLS; repeatable (default: 127.0.0.1:50051)',
      )
        .env('CARILLON_ADDRESS')
        .argParser(repeated(addressFromText)),
    )
    .option(
      '--token-file <path>',
      'a file with the token to show, read for each connection; else CARILLON_TOKEN',
      tokenFileFromText,
    )
    .option('--namespace <namespace>', 'the namespace whose jobs it runs (default: default)')
    .option('--label <name=value>', 'a label that jobs can ask for; repeatable', repeated(pairFromText('=')))
    .option('--capacity <n>', 'how many commands at once', integerFromText(1), 1)
    .option('--id <worker-id>', 'its name (default: host name, process id and a random part)')
    .option('--grace <span>', 'how long commands may go on behind SIGTERM (default: 30s)', durationFromText)
    .option('--shell <program>', 'what runs the command, with -c', '/bin/sh')
    .option('--json-result', 'take the last line of output that is a JSON object as the result')
    .addHelpText('after', help)
    .copyInheritedSettings(group);
  addTlsOptions(command);
  command.action((options: Options) => runWorker(options, command));
  group.addCommand(command, { isDefault: true });
}

/** Runs the worker until a signal; the exit code is 0 when it left in order, 1 when Carillon does not take it. */
async function runWorker(options: Options, command: Command): Promise<void> {
  const {
    exec,
    shell,
    jsonResult = false,
    queue,
    label,
    capacity,
    id,
    namespace,
    grace,
    tokenFile,
  } = options;
  const { address: addresses = ['127.0.0.1:50051'], ca, cert, key } = options;
  const handler = new ExecHandler({ command: exec, shell, jsonResult });
  let worker: Worker;
  try {
    worker = new Worker({
      address: addresses.map(hostAndPort),
      tls: addresses.every(hasTls) && { ca, cert, key },
      queues: queue,
      labels: mapFromPairs(label),
      capacity,
      namespace,
      workerId: id,
      graceMs: grace && durationMs(grace),
      token: tokenToShow(tokenFile) === undefined ? undefined : () => tokenToShow(tokenFile) ?? '',
      handler: handler.handle,
      logger: remarks,
    });
  } catch (error) {
    return command.error(`error: ${(error as Error).message}`);
  }
  try {
    await worker.run();
  } catch (error) {
    if (!(error instanceof WorkerRefusedError)) throw error;
    process.exitCode = 1;
  } finally {
    handler.killAll();
  }
}

/** Tells on standard error how the worker fares; standard output stays empty. */
const remarks: WorkerLogger = {
  debug: () => undefined,
  info: remark,
  warn: remark,
  error: remark,
};

function remark(fields: Readonly<Record<string, unknown>>, message: string): void {
  const { error, ...others } = fields;
  const values = Object.entries(others).map(([name, value]) => `${name} ${value}`);
  if (error instanceof Error) values.push(error.message);
  const more = values.length > 0 ? ` (${values.join(', ')})` : '';
  process.stderr.write(`${plainText(`${message}${more}`)}\n`);
}
