import { execFile } from 'node:child_process';
import { readFile, realpath, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { DataFolder } from './data-folder.ts';
import { awaitFileLock, type FileLock, tryLockFile } from './file-lock.ts';
import { postmasterFile, stopProcess } from './postmaster.ts';

/** What it takes to stop the server of a dead owner. */
export type OrphanOptions = {
  readonly folder: DataFolder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/** How long the children of a server outlive it, where no lock tells. */
const childrenMs = 500;

/** How long a server may take to end that nobody here can tell to. */
const strangerWaitMs = 60_000;

/**
 * Takes the lock on the server of a folder whose owner is this process, and
 * stops a server that an earlier owner left running. It is not adopted: only
 * the parent of a server learns at once that it ended.
 *
 * The pid in postmaster.pid alone proves nothing. After a restart of the machine
 * or the container it may be any program's. So the lock says whether a server
 * lives, and its command line says whether the pid is it.
 */
export async function takeOverServer(options: OrphanOptions): Promise<FileLock> {
  const { folder, clock, logger, signal } = options;
  let lock = await tryLockFile(folder.serverLock);
  const pid = lock?.isReal ? undefined : await findServerPid(folder);
  if (pid !== undefined) {
    logger.warn(
      { pid, dataDir: folder.root },
      'stopping the embedded postgres that a killed process left running',
    );
    await stopProcess(pid, async () => (await findServerPid(folder)) !== pid, clock);
    if (lock && !lock.isReal) await clock.sleep(childrenMs, signal);
  }
  // Children outlive their postmaster for a moment, or it runs where this process cannot see it.
  lock ??= await awaitFileLock(folder.serverLock, { clock, timeoutMs: strangerWaitMs, signal });
  if (!lock) {
    const named = await readPid(folder);
    throw new Error(
      `a Postgres server still uses ${folder.cluster}${named ? ` (pid ${named}, perhaps in another container)` : ''}; stop it first`,
    );
  }
  // Nobody holds the lock, so the file is a leftover. Without real locks Postgres itself judges it.
  if (lock.isReal) await rm(postmasterFile(folder), { force: true });
  else
    logger.warn(
      { dataDir: folder.root },
      'no program "flock": the data folder is not locked against a second process',
    );
  return lock;
}

async function readPid(folder: DataFolder): Promise<number | undefined> {
  const text = await readFile(postmasterFile(folder), 'utf8').catch(() => '');
  return Number.parseInt(text, 10) || undefined;
}

/** The pid of the postmaster of this cluster, if it runs on this machine. */
async function findServerPid(folder: DataFolder): Promise<number | undefined> {
  const pid = await readPid(folder);
  if (!pid) return undefined;
  const cluster = await findCommandCluster(pid);
  if (cluster === undefined) return undefined;
  // Folders are compared after links are followed: the server may have been started by another name of this one.
  const [theirs, ours] = await Promise.all(
    [cluster, folder.cluster].map((path) => realpath(path).catch(() => path)),
  );
  return theirs === ours ? pid : undefined;
}

/** What follows `-D` on the command line of a process. */
async function findCommandCluster(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const place = words.indexOf('-D');
    return place > 0 ? words[place + 1] : undefined;
  }
  const ps = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)]).catch(() => undefined);
  return / -D (.*?) -c /.exec(ps?.stdout ?? '')?.[1];
}
