/** Carillon as npm packs it, in folders of a test's own, so that the checkout stays as it is. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..', '..');

const call = promisify(execFile);

/** What packing reads. */
const packed = [
  ...['package.json', 'README.md', 'CHANGELOG.md'],
  ...['tsconfig.json', 'tsconfig.build.json', 'tsconfig.types.json'],
  ...['bin', 'docs', 'exports', 'gen', 'packaging', 'proto', 'src', 'third_party'],
];

/** Packs the checkout as it stands with `npm pack`; resolves to the path of the package. */
export async function packCarillon(folder: string): Promise<string> {
  const copy = join(folder, 'checkout');
  for (const name of packed) await cp(join(root, name), join(copy, name), { recursive: true });
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
  // Whatever npm is configured to do with the scripts of others: these are ours.
  const args = ['pack', '--silent', '--ignore-scripts=false', '--pack-destination', folder];
  const { stdout } = await call('npm', args, { cwd: copy });
  return join(folder, stdout.trim().split('\n').at(-1)!);
}

/**
 * Installs a package into an empty folder without asking a registry: its files
 * as they are, and links to this checkout's copies of what it depends on, of
 * nothing else. Resolves to the folder of the package.
 */
export async function installLinked(tarball: string, folder: string): Promise<string> {
  const modules = join(folder, 'node_modules');
  const target = join(modules, 'carillon');
  await mkdir(target, { recursive: true });
  await call('tar', ['-xzf', tarball, '--strip-components=1', '-C', target]);
  const { dependencies, optionalDependencies } = JSON.parse(
    await readFile(join(target, 'package.json'), 'utf8'),
  ) as Record<'dependencies' | 'optionalDependencies', Record<string, string>>;
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(root, 'node_modules', name), join(modules, name));
  }
  return target;
}
