import { Command, CommanderError } from 'commander';
import { dropEmptyClientVariables } from '../config/env.ts';
import { declareApply } from './apply-command.ts';
import { declareAuditCommands } from './audit-commands.ts';
import { declareCalendarCommands } from './calendar-commands.ts';
import { declareExecutionCommands } from './execution-commands.ts';
import { declareImport } from './import-command.ts';
import { declareJobCommands } from './job-commands.ts';
import { declareNamespaceCommands } from './namespace-commands.ts';
import { plainText } from './plain-text.ts';
import { declareMigrate, declareServe } from './process-commands.ts';
import { declareSecretCommands } from './secret-commands.ts';
import { declareTokenCommands } from './token-commands.ts';
import { declareWorkerCommands } from './worker-commands.ts';

/** The exit code of a command line that cannot be understood. */
const usageExitCode = 2;

/** The whole command line, ready to be parsed. */
export function createProgram(version: string): Command {
  const program = new Command('carillon')
    .description('A job-scheduling service over gRPC')
    .version(version)
    .helpCommand(false)
    .showSuggestionAfterError()
    // Its messages repeat what was typed, which may come from elsewhere.
    .configureOutput({ outputError: (text, write) => write(`${text.split('\n').map(plainText).join('\n')}`) })
    .exitOverride();
  declareServe(program);
  declareMigrate(program);
  declareApply(program);
  declareImport(program);
  declareJobCommands(program);
  declareExecutionCommands(program);
  declareCalendarCommands(program);
  declareSecretCommands(program);
  declareNamespaceCommands(program);
  declareTokenCommands(program);
  declareWorkerCommands(program);
  declareAuditCommands(program);
  return program;
}

/**
 * Runs the command line. The exit code is 0 when it did what was asked, 1 when
 * that failed, 2 when the command line or the configuration is wrong, and 130
 * or 143 when a signal ended it.
 */
export async function runProgram(version: string, args: readonly string[]): Promise<void> {
  dropEmptyClientVariables();
  try {
    await createProgram(version).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const isHelp = error.code === 'commander.helpDisplayed' || error.code === 'commander.version';
    process.exitCode = isHelp ? 0 : usageExitCode;
  }
}
