import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from './cli/program.ts';

// The report that Node writes of a crash, where it is told to, would show the key of secrets and the database's password.
process.report.excludeEnv = true;

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as {
  version: string;
};

await runProgram(version, process.argv.slice(2));
