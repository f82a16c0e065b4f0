/**
 * Locks on files that the kernel keeps: given up with the last process that
 * holds the open file, however it ends. They work between containers that share
 * a folder too, where process ids mean nothing.
 *
 * Node has no flock(2). On Linux the program `flock` (util-linux, busybox) locks
 * a file that it inherits from this process; such a lock belongs to the open
 * file and stays when the program ends. A process that inherits the file later
 * shares the lock. macOS locks a file as it opens it.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import type { Clock } from '../../platform/clock.ts';

/** A lock that this process holds. */
export type FileLock = {
  /** The open file. A child process that gets it keeps the lock after this process has let go. */
  readonly fd: number;
  /** False when this system cannot lock files; then anybody gets the lock. */
  readonly isReal: boolean;
  /** Closes the file in this process; does nothing the second time. */
  release(): void;
};

/** Takes the lock on a file, which is made if need be; undefined when another process has it. */
export async function tryLockFile(path: string): Promise<FileLock | undefined> {
  if (process.platform === 'darwin') return tryOpenLocked(path);
  const fd = openSync(path, 'a+', 0o644);
  const code = await runFlock(fd, ['-n']);
  if (code !== lockedByAnother) return fileLock(fd, code === 0);
  closeSync(fd);
  return undefined;
}

/** How long to wait for a lock. */
export type AwaitLockOptions = {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
};

/** Takes the lock on a file as soon as it is free; undefined after the timeout. Rejects when the signal aborts. */
export async function awaitFileLock(path: string, options: AwaitLockOptions): Promise<FileLock | undefined> {
  const { clock, timeoutMs, signal } = options;
  const deadline = clock.monotonicMs() + timeoutMs;
  for (;;) {
    const lock = await tryLockFile(path);
    if (lock && !signal.aborted) return lock;
    lock?.release();
    signal.throwIfAborted();
    if (clock.monotonicMs() >= deadline) return undefined;
    await clock.sleep(lockIntervalMs, signal);
  }
}

const lockIntervalMs = 50;

/** The exit code of `flock -n` for a file that another process has locked. */
const lockedByAnother = 1;

/** The exit code of flock, or -1 where there is no such program. */
function runFlock(fd: number, args: readonly string[]): Promise<number | null> {
  return new Promise((resolve) => {
    // The file is descriptor 3 of the child: the place in this list.
    const child = spawn('flock', [...args, '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    child.once('error', () => resolve(-1));
    child.once('exit', resolve);
  });
}

/** O_EXLOCK of macOS, which Node does not name. */
const exclusiveLockFlag = 0x20;

function tryOpenLocked(path: string): FileLock | undefined {
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | exclusiveLockFlag;
    return fileLock(openSync(path, flags, 0o644), true);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

function fileLock(fd: number, isReal: boolean): FileLock {
  let isOpen = true;
  return {
    fd,
    isReal,
    release() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}
