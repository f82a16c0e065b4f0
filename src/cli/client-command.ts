import { readFileSync } from 'node:fs';
import { ConnectError } from '@connectrpc/connect';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readClientEnvironment } from '../config/env.ts';
import { type CarillonClient, createCarillonClient } from './client.ts';
import { addressFromText, addTlsOptions, type ConnectionTls } from './connection-options.ts';
import { errorLines } from './error-lines.ts';
import { Output } from './output.ts';

/** What every command that calls the service takes. */
export type ClientOptions = ConnectionTls & {
  readonly address: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
};

/** What a command works with. */
export type ClientCall = Omit<CarillonClient, 'close'> & {
  readonly output: Output;
  /** Aborts at Ctrl-C, at SIGTERM, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
  /** Says how the process ends when nothing goes wrong; 0 unless it is called. */
  setExitCode(code: number): void;
};

/** Declares a command that calls the service. */
export function clientCommand(group: Command, usage: string, summary: string): Command {
  const command = group
    .command(usage)
    .description(summary)
    .addOption(
      new Option('--address <host:port>', 'the gRPC port of the service; https://host:port for TLS')
        .env('CARILLON_ADDRESS')
        .argParser(addressFromText)
        .default('127.0.0.1:50051'),
    )
    .option(
      '--token-file <path>',
      'a file with the token to show; else CARILLON_TOKEN has it, or none is shown',
      tokenFileFromText,
    );
  return addTlsOptions(command).option('--json', 'print proto JSON, one object a line');
}

const signalExitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs a command against the service and sets the exit code: what `run` sets, else 0, 1 when a call failed, 130 or 143 when a signal ended it.
 */
export async function callService(
  { address, tokenFile, json, ca, cert, key }: ClientOptions,
  run: (call: ClientCall) => Promise<void>,
): Promise<void> {
  const output = new Output({ isJson: json === true });
  const { close, ...services } = createCarillonClient(address, { ca, cert, key }, tokenToShow(tokenFile));
  const aborting = new AbortController();
  let exitCode: number | undefined;
  const stopWith = (code: number): void => {
    exitCode ??= code;
    aborting.abort();
    // Whatever is under way fails at once; a write that waits for a reader, too.
    close();
  };
  const onSignal = (signal: keyof typeof signalExitCodes): void => {
    if (aborting.signal.aborted) process.exit(signalExitCodes[signal]);
    stopWith(signalExitCodes[signal]);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  // A reader such as `head` that has seen enough is no failure.
  process.stdout.once('error', () => stopWith(0));
  try {
    const setExitCode = (code: number): void => {
      exitCode ??= code;
    };
    await run({ ...services, output, signal: aborting.signal, setExitCode });
    exitCode ??= 0;
  } catch (error) {
    if (!aborting.signal.aborted) {
      if (!(error instanceof ConnectError)) throw error;
      for (const line of errorLines(error, address)) output.remark(line);
    }
    exitCode ??= 1;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    close();
    process.exitCode = exitCode;
  }
}

/** The token of a file, else that of the environment. Never an argument: those are for every process to see. */
export function tokenToShow(file: string | undefined): string | undefined {
  return file === undefined ? readClientEnvironment().CARILLON_TOKEN : readFileSync(file, 'utf8').trim();
}

/** Reads the path of a file that has a token. */
export function tokenFileFromText(file: string): string {
  try {
    tokenToShow(file);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  return file;
}
