/**
 * Makes dist/ from src/, for the package: `npm run build`.
 *
 * Node does not strip types below node_modules, so what is installed from a
 * package is JavaScript. The checkout needs none of it: there everything runs
 * from src/, and dist/ is neither looked at nor kept in git.
 *
 * dist/ mirrors src/ and lies beside it. What a file finds by a relative path
 * (gen/, package.json, its neighbours) it finds from either.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const target = join(root, 'dist');

rmSync(target, { recursive: true, force: true });
compile('tsconfig.build.json');
// Declarations of what is public, and of what these refer to.
compile('tsconfig.types.json');
// What is read at run time: migrations, and whatever else is not code.
cpSync(join(root, 'src'), target, { recursive: true, filter: (path) => !path.endsWith('.ts') });

function compile(config: string): void {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', config], { cwd: root, stdio: 'inherit' });
}
