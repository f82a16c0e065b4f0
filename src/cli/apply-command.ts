import type { Command } from 'commander';
import { type ApplyOptions, differsExitCode } from './apply/apply-options.ts';
import { clientCommand } from './client-command.ts';
import { repeated } from './option-values.ts';

const help = `
Exit code: 0 when all is done, 1 when something failed or is refused, 2 when the command line or a manifest
cannot be understood; with --dry-run --exit-code ${differsExitCode} when there is something to do.
`;

/** Adds `carillon apply`. */
export function declareApply(program: Command): void {
  const command = clientCommand(program, 'apply', 'Make jobs what manifests say; shows what changes');
  command
    .requiredOption(
      '-f, --file <path>',
      'a manifest in YAML or JSON; - is standard input; repeatable',
      repeated(String),
    )
    .option('--dry-run', 'show the plan and change nothing')
    .option('--exit-code', `with --dry-run: exit with ${differsExitCode} when there is something to do`)
    .option('--prune', "delete the owner's jobs that the manifests no longer have")
    .option('--all-namespaces', 'with --prune: also in namespaces that the manifests do not name')
    .option('--allow-empty', 'with --prune: also when the manifests of an owner have no jobs')
    .option('--adopt', 'take over jobs that have another owner, or none')
    .addHelpText('after', help)
    .action(async (options: ApplyOptions) => {
      refuseStrays(options, command);
      // Loaded here, because no other command reads YAML.
      const { applyFiles } = await import('./apply/apply-files.ts');
      await applyFiles(options, command);
    });
}

function refuseStrays(options: ApplyOptions, command: Command): void {
  if (options.exitCode && !options.dryRun) command.error('error: --exit-code belongs to --dry-run');
  if (options.allNamespaces && !options.prune) command.error('error: --all-namespaces belongs to --prune');
  if (options.allowEmpty && !options.prune) command.error('error: --allow-empty belongs to --prune');
}
