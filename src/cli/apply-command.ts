/**
 * `carillon apply`: makes the jobs of the service those of manifests.
 *
 *     read      all files; what is wrong in any of them ends it here
 *     survey    what each job would be, and whether the service would take it;
 *               one that it refuses ends it here
 *     plan      printed; with --dry-run that is all
 *     carry out creates and changes, then prunes
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { carryOut, type Outcome } from './apply/carry-out.ts';
import type { Manifest } from './apply/manifest.ts';
import { type ManifestFile, readManifests } from './apply/manifests.ts';
import { type Problem, problemToText } from './apply/placed-value.ts';
import { countActions, findLeftovers, type Leftovers, pruneRefusal, type Step } from './apply/plan.ts';
import { doneLine, doneWords, nameOf, planLine, stepLines } from './apply/plan-lines.ts';
import { outcomeRecord, stepRecord, summaryRecord } from './apply/plan-records.ts';
import { listOwned, surveyJobs } from './apply/survey.ts';
import { type ClientCall, type ClientOptions, callService, clientCommand } from './client-command.ts';
import { jobKeyToText } from './job-name.ts';
import { repeated } from './option-values.ts';
import type { Output } from './output.ts';
import { plainText } from './plain-text.ts';

type Options = ClientOptions & {
  readonly file: readonly string[];
  readonly dryRun?: boolean;
  readonly exitCode?: boolean;
  readonly prune?: boolean;
  readonly allNamespaces?: boolean;
  readonly allowEmpty?: boolean;
  readonly adopt?: boolean;
};

/** The exit code of --exit-code when there is something to do; 1 and 2 are taken by what goes wrong. */
const differsExitCode = 3;

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
    .action(async (options: Options) => {
      refuseStrays(options, command);
      const { manifests, problems, remarks } = readManifests(readFiles(options.file, command));
      for (const remark of remarks) process.stderr.write(`${plainText(problemToText(remark))}\n`);
      if (problems.length > 0) refuseManifests(problems, command);
      const refusal = options.prune ? pruneRefusal(manifests, options.allowEmpty === true) : undefined;
      if (refusal !== undefined) command.error(`error: ${refusal}`);
      await callService(options, (call) => apply(call, manifests, options));
    });
}

async function apply(call: ClientCall, manifests: readonly Manifest[], options: Options): Promise<void> {
  const { output } = call;
  const wanted = manifests.flatMap(({ jobs }) => jobs);
  const owned = await listOwned(call, manifests);
  const { steps, refusals } = await surveyJobs(call, wanted, owned, { adopts: options.adopt === true });
  if (refusals.length > 0) {
    for (const refusal of refusals) output.remark(problemToText(refusal));
    output.remark(
      `nothing was changed: ${wanted.length - steps.length} of ${wanted.length} jobs cannot be applied`,
    );
    return call.setExitCode(1);
  }
  const leftovers = findLeftovers(manifests, owned);
  const pruned = options.prune ? prunedOf(leftovers, options) : [];
  const plan = [...steps, ...pruned.map((present): Step => ({ action: 'prune', present }))];
  await printPlan(output, plan);
  remarkOn(output, leftovers, options);
  if (options.dryRun) {
    if (output.isJson) await output.json(summaryRecord(plan, undefined));
    const isSame = countActions(plan).unchanged === plan.length;
    if (options.exitCode && !isSame) call.setExitCode(differsExitCode);
    return;
  }
  await perform(call, plan);
}

const prunedOf = ({ within, elsewhere }: Leftovers, { allNamespaces }: Options) =>
  allNamespaces ? [...within, ...elsewhere] : within;

async function printPlan(output: Output, plan: readonly Step[]): Promise<void> {
  for (const step of plan) {
    if (output.isJson) await output.json(stepRecord(step));
    else for (const line of stepLines(step)) await output.line(line);
  }
  if (!output.isJson) await output.line(planLine(plan));
}

/** Says which jobs of the owners are left alone, so that nobody wonders. */
function remarkOn(output: Output, leftovers: Leftovers, options: Options): void {
  const tell = (jobs: Leftovers['within'], flags: string): void => {
    if (jobs.length === 0) return;
    const names = jobs.slice(0, 10).map(({ key }) => jobKeyToText(key));
    const more = jobs.length > names.length ? ` and ${jobs.length - names.length} more` : '';
    output.remark(`left alone, though no manifest has it: ${names.join(', ')}${more}; ${flags} deletes`);
  };
  if (!options.prune) tell(leftovers.within, '--prune');
  if (!(options.prune && options.allNamespaces)) tell(leftovers.elsewhere, '--prune --all-namespaces');
}

async function perform(call: ClientCall, plan: readonly Step[]): Promise<void> {
  const { output } = call;
  const outcomes = new Map<Step, Outcome>();
  await carryOut(call, plan, async (step, outcome) => {
    outcomes.set(step, outcome);
    if (output.isJson) await output.json(outcomeRecord(step, outcome));
    else if (outcome.kind === 'done') await output.line(`${doneWords[step.action]} ${nameOf(step)}`);
    if (outcome.kind === 'failed') output.remark(`failed: ${step.action} ${nameOf(step)}: ${outcome.why}`);
    if (outcome.kind === 'unknown') {
      output.remark(`not known whether done: ${step.action} ${nameOf(step)}: ${outcome.why}`);
    }
  });
  if (output.isJson) await output.json(summaryRecord(plan, outcomes));
  const those = (kind: Outcome['kind']): Step[] =>
    [...outcomes.keys()].filter((step) => outcomes.get(step)!.kind === kind);
  const done = doneLine(those('done'), countActions(plan).unchanged);
  const [failed, unknown, left] = [those('failed').length, those('unknown').length, those('left').length];
  if (failed + unknown + left === 0) {
    if (!output.isJson) await output.line(done);
    return;
  }
  output.remark(`${done}; ${failed} failed, ${unknown} not known, ${left} not begun; apply again to go on`);
  call.setExitCode(1);
}

function readFiles(paths: readonly string[], command: Command): readonly ManifestFile[] {
  if (paths.filter((path) => path === '-').length > 1)
    command.error('error: standard input can be read once');
  return paths.map((path) => {
    try {
      return {
        name: path === '-' ? 'standard input' : path,
        text: readFileSync(path === '-' ? 0 : path, 'utf8'),
      };
    } catch (error) {
      return command.error(`error: ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
}

/** The most problems that are told at once. */
const maxTold = 50;

function refuseManifests(problems: readonly Problem[], command: Command): never {
  const told = problems.slice(0, maxTold).map(problemToText);
  const more = problems.length > told.length ? [`and ${problems.length - told.length} more`] : [];
  return command.error([...told, ...more].join('\n'));
}

function refuseStrays(options: Options, command: Command): void {
  if (options.exitCode && !options.dryRun) command.error('error: --exit-code belongs to --dry-run');
  if (options.allNamespaces && !options.prune) command.error('error: --all-namespaces belongs to --prune');
  if (options.allowEmpty && !options.prune) command.error('error: --allow-empty belongs to --prune');
}
