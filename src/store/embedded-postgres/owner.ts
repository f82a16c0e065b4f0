import { ftruncateSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { DataFolder } from './data-folder.ts';
import { type FileLock, tryLockFile } from './file-lock.ts';

/** Makes this process the owner of a data folder; throws with the pid of the owner when there is one. */
export async function takeOwnership({ root, ownerLock }: DataFolder): Promise<FileLock> {
  const lock = await tryLockFile(ownerLock);
  const owner = Number.parseInt(await readFile(ownerLock, 'utf8').catch(() => ''), 10);
  if (!lock || (!lock.isReal && owner !== process.pid && isAlive(owner))) {
    lock?.release();
    throw new Error(
      `the data folder ${root} is in use by another Carillon process${owner ? ` (pid ${owner})` : ''}; ` +
        'stop that one, give this one a folder of its own with CARILLON_DATA_DIR, ' +
        'or let both use one Postgres with DATABASE_URL',
    );
  }
  ftruncateSync(lock.fd);
  writeSync(lock.fd, `${process.pid}\n`);
  return lock;
}

/** The best that can be said where files cannot be locked. */
function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
