import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Command } from 'commander';
import { ownerPattern } from './apply/owner.ts';
import { type LineRemark, readCrontab } from './import/crontab-lines.ts';
import { importCrontab } from './import/crontab-manifest.ts';
import { plainText } from './plain-text.ts';

type Options = {
  readonly system?: boolean;
  readonly queue: string;
  readonly zone?: string;
  readonly owner?: string;
  readonly namespace?: string;
  readonly group: string;
  readonly output?: string;
  readonly skipUnsupported?: boolean;
};

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
    .action((file: string, options: Options) => {
      if (options.owner !== undefined && !ownerPattern.test(options.owner)) {
        command.error('error: --owner is 1 to 200 letters, digits and . _ - /');
      }
      runImport(file, options, command);
    });
}

function runImport(file: string, options: Options, command: Command): void {
  const { zone = Intl.DateTimeFormat().resolvedOptions().timeZone, skipUnsupported = false } = options;
  const source = file === '-' ? 'a crontab' : file;
  const crontab = readCrontab(readText(file, command), { hasUsers: options.system === true });
  const { manifest, count, refusals, remarks } = importCrontab(crontab, { ...options, zone, source });
  const tell =
    (kind: string) =>
    ({ line, text }: LineRemark) =>
      remark(`${source}:${line}: ${kind}${text}`);
  if (options.zone === undefined && usesMachineZone(crontab.entries)) {
    remark(`times are in ${zone}, the zone of this machine; --zone says another`);
  }
  remarks.forEach(tell(''));
  refusals.forEach(tell(skipUnsupported ? 'left out: ' : 'cannot be imported: '));
  if (refusals.length > 0 && !skipUnsupported) {
    remark(`no manifest was written; mend these lines, or leave them out with --skip-unsupported`);
    process.exitCode = 1;
    return;
  }
  if (options.output === undefined) {
    process.stdout.write(manifest);
    return;
  }
  try {
    writeFileSync(options.output, manifest);
  } catch (error) {
    command.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  }
  remark(`wrote ${count} jobs to ${options.output}`);
}

const usesMachineZone = (entries: ReturnType<typeof readCrontab>['entries']): boolean =>
  entries.some(({ variables }) => !variables.has('CRON_TZ') && !variables.has('TZ'));

const remark = (text: string): boolean => process.stderr.write(`${plainText(text)}\n`);

function readText(file: string, command: Command): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    return command.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  }
}
