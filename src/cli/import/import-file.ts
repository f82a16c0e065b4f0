import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { plainText } from '../plain-text.ts';
import { type LineRemark, readCrontab } from './crontab-lines.ts';
import { importCrontab } from './crontab-manifest.ts';
import type { ImportCommandOptions } from './import-options.ts';

/** Reads a crontab and writes its manifest; sets the exit code where a line cannot be imported. */
export function importFile(file: string, options: ImportCommandOptions, command: Command): void {
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
