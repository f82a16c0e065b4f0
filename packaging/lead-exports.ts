/**
 * Leads exports/, where package.json's "exports" point, to src/ or to dist/:
 * `node packaging/lead-exports.ts src`.
 *
 * In git they lead to src/, so that `carillon/worker` needs no build in a
 * checkout, also where it is linked from elsewhere (`npm link`). While npm
 * packs, between prepack and postpack, they lead to dist/, and so they do in
 * the package. A condition of package.json cannot tell the two apart without a
 * flag, and a file that looks at run time keeps bundlers from following it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.argv[2];
if (folder !== 'src' && folder !== 'dist') throw new Error('node packaging/lead-exports.ts src|dist');
const entry = `../${folder}/worker/index.${folder === 'src' ? 'ts' : 'js'}`;
for (const name of ['worker.js', 'worker.d.ts']) {
  writeFileSync(
    join(import.meta.dirname, '..', 'exports', name),
    `// Written by packaging/lead-exports.ts.\nexport * from '${entry}';\n`,
  );
}
