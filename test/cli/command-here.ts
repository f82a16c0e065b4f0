/**
 * The command line within the test's own process: what it reads and writes and
 * what its exit code would be, without the half second that a process takes to
 * start. Signals, pipes that break and the binary itself take a process
 * (command-line.ts).
 */
import { vi } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import type { CommandResult } from './command-line.ts';

/** Ends when the commands before have ended: output and exit code belong to one at a time. */
let before: Promise<unknown> = Promise.resolve();

/** Runs a command as `startCommand` does, with these variables and none of Carillon's besides. */
export function runHere(
  args: readonly string[],
  { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandResult> {
  const result = before.then(() => runAlone(args, env));
  before = result.catch(() => undefined);
  return result;
}

async function runAlone(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  const output = { stdout: '', stderr: '' };
  const outputs = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      // A warning of Node is the process's, of whatever test came before.
      if (!String(text).startsWith(`(node:${process.pid}) `)) output[name] += String(text);
      return true;
    }),
  );
  const ownEnv = process.env;
  const ownExitCode = process.exitCode;
  const ownListeners = process.stdout.listeners('error');
  const kept = Object.entries(ownEnv).filter(([name]) => !/^(CARILLON_|VITEST|NODE_OPTIONS$)/.test(name));
  process.env = { ...Object.fromEntries(kept), ...env };
  process.exitCode = undefined;
  try {
    await runProgram('0.0.0', args);
    return { ...output, exitCode: Number(process.exitCode ?? 0) };
  } finally {
    process.env = ownEnv;
    process.exitCode = ownExitCode;
    for (const listener of process.stdout.listeners('error')) {
      if (!ownListeners.includes(listener)) process.stdout.off('error', listener as () => void);
    }
    for (const each of outputs) each.mockRestore();
  }
}
