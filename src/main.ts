import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from './cli/program.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as {
  version: string;
};

await runProgram(version, process.argv.slice(2));
