/**
 * What is in the data folder, and how a fresh one is filled.
 *
 *   owner.lock      locked by the Carillon process that owns the folder; holds its pid
 *   server.lock     locked by every process of the Postgres server
 *   password        of the role `carillon`, mode 0600
 *   postgres.log    the server's log, and postgres.log.1 before it
 *   postgres/       the cluster, complete or not there at all
 *   new-XXXXXX/     a cluster in the making; left behind only by a process that was killed
 *
 * initdb works in the folder beside and its result is renamed into place, so a
 * cluster that exists is complete: it holds all files, synced, and its role.
 */
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { collect, type Installation } from './launcher.ts';
import type { ServerUser } from './server-user.ts';
import { serverSettings, settingsFile } from './settings.ts';

/** The absolute paths of what is in a data folder. */
export type DataFolder = {
  readonly root: string;
  readonly ownerLock: string;
  readonly serverLock: string;
  readonly password: string;
  readonly log: string;
  readonly cluster: string;
};

/** The role that initdb makes, and the database that belongs to it. */
export const roleName = 'carillon';

/** Names the files of a data folder. */
export function dataFolderAt(root: string): DataFolder {
  return {
    root,
    ownerLock: join(root, 'owner.lock'),
    serverLock: join(root, 'server.lock'),
    password: join(root, 'password'),
    log: join(root, 'postgres.log'),
    cluster: join(root, 'postgres'),
  };
}

/** Makes the folder unless it is there. One that was there keeps its mode, whatever it is. */
export async function createDataFolder(root: string, isForOtherUser: boolean): Promise<void> {
  const created = await mkdir(root, { recursive: true }).catch((error: unknown) => {
    throw new Error(`the data folder ${root} cannot be made; set CARILLON_DATA_DIR to another one`, {
      cause: error,
    });
  });
  // Others may pass through to what they own in it, and list nothing.
  if (created) await chmod(root, isForOtherUser ? 0o711 : 0o700);
}

/** The user that owns the cluster; undefined while there is none. */
export async function findClusterOwner(folder: DataFolder): Promise<ServerUser | undefined> {
  const stats = await stat(folder.cluster).catch(ignoreMissing);
  return stats && { uid: stats.uid, gid: stats.gid };
}

/** The major version of Postgres that wrote the cluster; undefined while there is none. */
export async function findClusterVersion(folder: DataFolder): Promise<number | undefined> {
  const text = await readFile(join(folder.cluster, 'PG_VERSION'), 'utf8').catch(ignoreMissing);
  return text === undefined ? undefined : Number.parseInt(text, 10);
}

/** What it takes to make a cluster. */
export type CreateClusterOptions = Installation & {
  readonly folder: DataFolder;
  /** An open file that initdb holds, so that nobody takes the folder while it works. */
  readonly lockFd: number;
};

/** Makes the cluster with a password of its own. Needs the lock on the server. */
export async function createCluster({
  folder,
  binaries,
  launcher,
  user,
  lockFd,
}: CreateClusterOptions): Promise<void> {
  const password = randomBytes(24).toString('base64url');
  const making = await mkdtemp(join(folder.root, 'new-'));
  const passwordFile = join(making, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  if (user) {
    await chown(passwordFile, user.uid, user.gid);
    await chown(making, user.uid, user.gid);
  }
  const cluster = join(making, 'postgres');
  const child = launcher.spawn(
    binaries.initdb,
    [
      ...['--pgdata', cluster, '--username', roleName, '--pwfile', passwordFile, '--auth=scram-sha-256'],
      // Sorting and letter case by the Unicode tables inside Postgres: the same on every system, for ever.
      ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--encoding=UTF8'],
      '--no-instructions',
    ],
    ['ignore', 'pipe', 'pipe', lockFd],
  );
  const { code, stdout, stderr } = await collect(child);
  if (code !== 0) {
    await remove(making);
    throw new Error(
      `initdb failed in ${folder.root}: ${stderr.trim() || stdout.trim() || `ended with ${code}`}`,
    );
  }
  await appendInclude(join(cluster, 'postgresql.conf'));
  // The password is in place before the cluster: a cluster without its password could not be entered.
  await writeDurably(folder.password, password);
  await rename(cluster, folder.cluster).catch(async (error: unknown) => {
    await remove(making);
    throw new Error(`${folder.cluster} exists and is no Postgres cluster; move it away`, { cause: error });
  });
  await sync(folder.root);
  await remove(making);
}

/** Removes what a process that was killed left while it made a cluster. Needs the lock on the server. */
export async function removeHalfMade(folder: DataFolder): Promise<void> {
  for (const name of await readdir(folder.root)) {
    if (name.startsWith('new-')) await remove(join(folder.root, name));
  }
}

/** The password of the role. */
export async function readPassword(folder: DataFolder): Promise<string> {
  const password = (await readFile(folder.password, 'utf8').catch(ignoreMissing))?.trim();
  if (password) return password;
  throw new Error(
    `the file ${folder.password} is gone, and with it the password of the data in ${folder.cluster}; put it back, or set CARILLON_DATA_DIR to an empty folder to begin anew`,
  );
}

/** Writes the settings of this version for the next start of the server. */
export async function writeSettings(folder: DataFolder): Promise<void> {
  // A container's limit where there is one: then it is less than the machine's memory.
  const memory = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  await writeDurably(join(folder.cluster, 'carillon.conf'), settingsFile(serverSettings(memory)), 0o644);
}

async function appendInclude(path: string): Promise<void> {
  const file = await open(path, 'a');
  try {
    await file.write(
      "\n# Settings below this line win over those of Carillon.\ninclude_if_exists = 'carillon.conf'\n",
    );
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Replaces a file as a whole. The new one is made under a fresh name, so a link that somebody put there is not followed. */
async function writeDurably(path: string, text: string, mode = 0o600): Promise<void> {
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(fresh, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 10 });

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
