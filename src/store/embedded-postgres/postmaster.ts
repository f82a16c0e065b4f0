import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fchownSync, openSync } from 'node:fs';
import { copyFile, readFile, stat, truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { DataFolder } from './data-folder.ts';
import type { Installation } from './launcher.ts';

/** What it takes to start a server. */
export type PostmasterOptions = Installation & {
  readonly folder: DataFolder;
  readonly port: number;
  /** The lock on the server, which all its processes inherit. */
  readonly lockFd: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gives up waiting and ends the server. */
  readonly signal: AbortSignal;
};

const readyIntervalMs = 10;
const slowStartMs = 10_000;

/**
 * Starts the server; resolves when it accepts connections. As long as the
 * process lives there is no time limit: replaying the log of a crash takes as
 * long as it takes, and killing the server would only begin it again.
 */
export async function startPostmaster(options: PostmasterOptions): Promise<ChildProcess> {
  const { folder, clock, logger, signal } = options;
  const child = spawnPostmaster(options);
  // A failed spawn has no pid; the event is only there to be caught.
  child.once('error', (error) => logger.debug({ error }, 'embedded postgres could not be spawned'));
  const began = clock.monotonicMs();
  let isSlow = false;
  while (isRunning(child)) {
    if (await isReady(folder, child.pid)) return child;
    if (signal.aborted) {
      await stopPostmaster(child, clock);
      signal.throwIfAborted();
    }
    if (!isSlow && clock.monotonicMs() - began > slowStartMs) {
      isSlow = true;
      logger.warn({ log: folder.log }, 'embedded postgres is still starting, see its log');
    }
    await clock.sleep(readyIntervalMs, signal);
  }
  throw new Error(`embedded Postgres did not start; ${folder.log} ends with:\n${await readEnd(folder.log)}`);
}

function spawnPostmaster({
  folder,
  binaries,
  launcher,
  user,
  port,
  lockFd,
}: PostmasterOptions): ChildProcess {
  const log = openSync(folder.log, 'a', 0o600);
  // So that a later start as that user can write it too.
  if (user) fchownSync(log, user.uid, user.gid);
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  const args = ['-D', folder.cluster, ...settings.flatMap((setting) => ['-c', setting])];
  try {
    return launcher.spawn(binaries.postgres, args, ['ignore', log, log, lockFd]);
  } finally {
    closeSync(log);
  }
}

/**
 * Moves the text of a log that has grown too big into the file beside it. The
 * server goes on in the same file: it writes at the end, wherever that is. A
 * line written in the moment between copy and cut is lost.
 */
export async function trimLog(path: string, maxBytes = 16 * 1_024 * 1_024): Promise<void> {
  const { size } = await stat(path);
  if (size <= maxBytes) return;
  await copyFile(path, `${path}.1`);
  await truncate(path);
}

/** The server writes its state into line 8 of postmaster.pid. */
async function isReady(folder: DataFolder, pid: number | undefined): Promise<boolean> {
  const text = await readFile(postmasterFile(folder), 'utf8').catch(() => '');
  const lines = text.split('\n');
  return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

/** The file that a running server keeps in its cluster. */
export const postmasterFile = (folder: DataFolder): string => join(folder.cluster, 'postmaster.pid');

/** True until the process has ended. */
export const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

/** What is sent to end a server, and how long it may take before the next is sent. */
const stopSteps: readonly { readonly name: NodeJS.Signals; readonly waitMs: number }[] = [
  // Ends clients, writes a checkpoint.
  { name: 'SIGINT', waitMs: 30_000 },
  // Leaves the rest to recovery at the next start.
  { name: 'SIGQUIT', waitMs: 10_000 },
  { name: 'SIGKILL', waitMs: 10_000 },
];

/** Ends a server, in order if it can. `isGone` is asked again and again; returns whether it said so in the end. */
export async function stopProcess(
  pid: number,
  isGone: () => Promise<boolean>,
  clock: Clock,
): Promise<boolean> {
  for (const { name, waitMs } of stopSteps) {
    const deadline = clock.monotonicMs() + waitMs;
    try {
      process.kill(pid, name);
      // A process that is stopped gets the signal only when it goes on.
      process.kill(pid, 'SIGCONT');
    } catch {
      // Gone between the two looks, or not ours to end: the caller's question tells.
    }
    while (clock.monotonicMs() < deadline) {
      if (await isGone()) return true;
      await clock.sleep(readyIntervalMs);
    }
  }
  return isGone();
}

/** Stops the server that this process started; resolves when it has ended. */
export async function stopPostmaster(child: ChildProcess, clock: Clock): Promise<void> {
  if (!isRunning(child)) return;
  const ended = once(child, 'exit');
  await stopProcess(child.pid as number, () => Promise.resolve(!isRunning(child)), clock);
  await ended;
}

/** A port of 127.0.0.1 that nothing listens on just now. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || !address) throw new Error('a TCP listener has no port');
  return address.port;
}

/** True when nothing listens on the port. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    return true;
  } catch {
    return false;
  }
}

const readEnd = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-10).join('\n');
