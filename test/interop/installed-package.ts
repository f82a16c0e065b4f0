/** The package as users get it: `npm install` of its file in an empty folder, with what the registry has for it. */
import { execFile } from 'node:child_process';
import { access, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { packCarillon } from '../support/package.ts';
import { runStep } from './toolchains.ts';

/** A Node that is on this machine. */
export type FoundNode = { readonly version: string; readonly path: string };

/** Where the package is installed. */
export type InstalledPackage = {
  readonly binaryPath: string;
  /** A program with the worker library; takes an address and a queue. */
  readonly workerPath: string;
  /** Removes it and all that was made for it. */
  remove(): Promise<void>;
};

const worker = `
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'carillon/worker';
const [address, queue] = process.argv.slice(2);
const handler = async ({ parameters, log, signal }) => {
  log.info('hello ' + parameters.text);
  await setTimeout(1_000, undefined, { signal });
  return { greeted: parameters.text };
};
await new Worker({ address, queue, handler }).run();
`;

/** Packs the checkout and installs the package into a folder of its own. */
export async function installPackage(): Promise<InstalledPackage> {
  const folder = await mkdtemp(join(tmpdir(), 'carillon-installed-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await writeFile(join(folder, 'package.json'), '{"private": true}');
    const tarball = await packCarillon(folder);
    await runStep('npm', ['install', '--no-audit', '--no-fund', tarball], folder);
    await runStep('npx', ['--no-install', 'carillon', '--help'], folder);
    const workerPath = join(folder, 'worker.mjs');
    await writeFile(workerPath, worker);
    const binaryPath = join(folder, 'node_modules', '.bin', 'carillon');
    return { binaryPath, workerPath, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** This Node, and the others on the PATH that the library is for: 20.19 and later. */
export async function findNodes(): Promise<readonly FoundNode[]> {
  const paths = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'));
  const nodes = new Map<string, FoundNode>();
  for (const path of [process.execPath, ...paths]) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (!isThere) continue;
    const { stdout } = await promisify(execFile)(await realpath(path), ['-p', 'process.versions.node']);
    const version = stdout.trim();
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major > 20 || (major === 20 && minor >= 19)) nodes.set(version, { version, path });
  }
  return [...nodes.values()];
}
