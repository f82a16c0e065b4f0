import { hostname } from 'node:os';
import type { Command } from 'commander';
import { ownerPattern } from './apply/owner.ts';
import type { ImportCommandOptions } from './import/import-options.ts';

const help = `
Writes a manifest for carillon apply; nothing is changed anywhere. The first lines of the manifest say which
worker has to run on the machine of the crontab. Exit code 1 when a line cannot be imported: then there is no
manifest, unless --skip-unsupported leaves such lines out.
`;

/** Adds `carillon import …`: what others know of jobs, as manifests. */
export function declareImport(program: Command): void {
  const group = program.command('import').description('Make manifests of what other schedulers have');
  const command = group
    .command('crontab <file>')
    .description('Make a manifest of a crontab; - is standard input')
    .option('--system', 'each line has a user behind its fields, as /etc/crontab and /etc/cron.d')
    .option('--queue <queue>', 'where the commands wait for their worker', `crontab-${hostname()}`)
    .option('--zone <zone>', "where the crontab sets none (default: this machine's)")
    .option('--owner <owner>', 'the owner of the manifest')
    .option('--namespace <namespace>', 'the namespace of the jobs')
    .option('--group <group>', 'the group of the jobs', 'crontab')
    .option('-o, --output <path>', 'the file to write (default: standard output)')
    .option('--skip-unsupported', 'leave out lines that cannot be imported')
    .addHelpText('after', help)
    .action(async (file: string, options: ImportCommandOptions) => {
      if (options.owner !== undefined && !ownerPattern.test(options.owner)) {
        command.error('error: --owner is 1 to 200 letters, digits and . _ - /');
      }
      // Loaded here, because no other command writes YAML.
      const { importFile } = await import('./import/import-file.ts');
      importFile(file, options, command);
    });
}
