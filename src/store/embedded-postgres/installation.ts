import { findBinaries } from './binaries.ts';
import { type DataFolder, findClusterOwner, findClusterVersion } from './data-folder.ts';
import { chooseLauncher, type Installation } from './launcher.ts';
import { getServerUser, isRoot } from './server-user.ts';

/** Throws when the data that is there belongs to somebody whom Postgres cannot run as from here. */
export async function checkClusterOwner(folder: DataFolder): Promise<void> {
  const owner = await findClusterOwner(folder);
  const self = process.getuid?.();
  if (!owner || (isRoot() ? owner.uid !== 0 : owner.uid === self)) return;
  const advice = isRoot()
    ? 'Postgres does not run as root: give it to the user postgres with chown -R'
    : `this process is user id ${self}: start Carillon as that user or as root, or set CARILLON_DATA_DIR to another folder`;
  throw new Error(`the data in ${folder.cluster} belongs to user id ${owner.uid}, and ${advice}`);
}

/** Finds the programs and how to start them, and checks that their version fits the data that is there. */
export async function prepareInstallation(folder: DataFolder, searchPath?: string): Promise<Installation> {
  const binaries = await findBinaries();
  // Data that is there is used by whom it belongs to.
  const user = isRoot() ? ((await findClusterOwner(folder)) ?? (await getServerUser())) : undefined;
  const { launcher, majorVersion } = await chooseLauncher({
    postgres: binaries.postgres,
    folder: folder.root,
    user,
    searchPath,
  });
  const version = await findClusterVersion(folder);
  if (version !== undefined && version !== majorVersion) {
    throw new Error(
      `the data in ${folder.cluster} was written by Postgres ${version}, and this version of Carillon brings Postgres ${majorVersion}; ` +
        'dump it with the old version and load it into an empty CARILLON_DATA_DIR, or set DATABASE_URL',
    );
  }
  return { binaries, launcher, user };
}
