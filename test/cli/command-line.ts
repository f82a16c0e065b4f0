import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { awaitThat } from '../support/await-that.ts';

/** What a command wrote and how it ended. */
export type CommandResult = {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
};

/** A command that runs. */
export type RunningCommand = {
  readonly process: ChildProcess;
  readonly result: Promise<CommandResult>;
  /** Resolves when the command has written this to standard output or error. */
  awaitOutput(text: string): Promise<unknown>;
};

/** The command line as users install it. */
export const binaryPath = join(import.meta.dirname, '..', '..', 'bin', 'carillon.js');

const running = new Set<ChildProcess>();

/** Starts the binary under a Node, by default this one, with the test run's own variables taken away. */
export function startCommand(
  args: readonly string[],
  {
    node = process.execPath,
    env = {},
  }: { readonly node?: string; readonly env?: Record<string, string> } = {},
): RunningCommand {
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(CARILLON_|VITEST|NODE_OPTIONS$)/.test(name)),
  );
  const child = spawn(node, [binaryPath, ...args], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const result = new Promise<CommandResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => {
      running.delete(child);
      resolve({ ...output, exitCode });
    });
  });
  const awaitOutput = (text: string): Promise<unknown> =>
    awaitThat(
      `carillon ${args.join(' ')} writes ${text}`,
      () => (output.stdout + output.stderr).includes(text) || undefined,
      20_000,
    );
  return { process: child, result, awaitOutput };
}

/** Ends what a red test left running. */
export function useCommands(): void {
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });
}

/** A callee whose replies the test writes. */
export type TestCallee = { readonly url: string; readonly server: Server };

/** Starts a callee on a free port; it is closed behind the test file's last test by `server.close()`. */
export async function startCallee(
  answer: (response: ServerResponse, path: string) => void,
): Promise<TestCallee> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => answer(response, request.url ?? '/'));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}
