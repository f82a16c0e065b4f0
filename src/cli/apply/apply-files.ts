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
import { type ClientCall, callService } from '../client-command.ts';
import { jobKeyToText } from '../job-name.ts';
import type { Output } from '../output.ts';
import { plainText } from '../plain-text.ts';
import { type ApplyOptions, differsExitCode } from './apply-options.ts';
import { carryOut, type Outcome } from './carry-out.ts';
import type { Manifest } from './manifest.ts';
import { type ManifestFile, readManifests } from './manifests.ts';
import { type Problem, problemToText } from './placed-value.ts';
import { countActions, findLeftovers, type Leftovers, pruneRefusal, type Step } from './plan.ts';
import { doneLine, doneWords, nameOf, planLine, stepLines } from './plan-lines.ts';
import { outcomeRecord, stepRecord, summaryRecord } from './plan-records.ts';
import { listOwned, surveyJobs } from './survey.ts';

/** Reads the files and applies them; sets the exit code. */
export async function applyFiles(options: ApplyOptions, command: Command): Promise<void> {
  const { manifests, problems, remarks } = readManifests(readFiles(options.file, command));
  tellProblems(remarks);
  if (problems.length > 0) {
    tellProblems(problems);
    command.error('error: nothing was changed: the manifests cannot be understood');
  }
  const refusal = options.prune ? pruneRefusal(manifests, options.allowEmpty === true) : undefined;
  if (refusal !== undefined) command.error(`error: ${refusal}`);
  let isDone = false;
  await callService(options, async (call) => {
    isDone = await apply(call, manifests, options);
  });
  // A reader that has seen enough, such as `head`, ends the command in good order; what it was to do is not done.
  if (!isDone && !options.dryRun && process.exitCode === 0) process.exitCode = 1;
}

/** Whether there is nothing left to do; false also where nothing was begun. */
async function apply(
  call: ClientCall,
  manifests: readonly Manifest[],
  options: ApplyOptions,
): Promise<boolean> {
  const { output } = call;
  const wanted = manifests.flatMap(({ jobs }) => jobs);
  const owned = await listOwned(call, manifests);
  const { steps, refusals } = await surveyJobs(call, wanted, owned, { adopts: options.adopt === true });
  if (refusals.length > 0) {
    tellProblems(refusals);
    output.remark(
      `nothing was changed: ${wanted.length - steps.length} of ${wanted.length} jobs cannot be applied`,
    );
    call.setExitCode(1);
    return false;
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
    return true;
  }
  return perform(call, plan);
}

const prunedOf = ({ within, elsewhere }: Leftovers, { allNamespaces }: ApplyOptions) =>
  allNamespaces ? [...within, ...elsewhere] : within;

async function printPlan(output: Output, plan: readonly Step[]): Promise<void> {
  for (const step of plan) {
    if (output.isJson) await output.json(stepRecord(step));
    else for (const line of stepLines(step)) await output.line(line);
  }
  if (!output.isJson) await output.line(planLine(plan));
}

/** Says which jobs of the owners are left alone, so that nobody wonders. */
function remarkOn(output: Output, leftovers: Leftovers, options: ApplyOptions): void {
  const tell = (jobs: Leftovers['within'], flags: string): void => {
    if (jobs.length === 0) return;
    const names = jobs.slice(0, 10).map(({ key }) => jobKeyToText(key));
    const more = jobs.length > names.length ? ` and ${jobs.length - names.length} more` : '';
    output.remark(`left alone, though no manifest has it: ${names.join(', ')}${more}; ${flags} deletes`);
  };
  if (!options.prune) tell(leftovers.within, '--prune');
  if (!(options.prune && options.allNamespaces)) tell(leftovers.elsewhere, '--prune --all-namespaces');
}

async function perform(call: ClientCall, plan: readonly Step[]): Promise<boolean> {
  const { output, signal } = call;
  const outcomes = new Map<Step, Outcome>();
  /** Writes; where nobody reads any more, which has stopped the command, what is known is still told at the end. */
  const write = async (writing: () => Promise<void>): Promise<void> => {
    try {
      await writing();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  };
  await carryOut(call, plan, async (step, outcome) => {
    outcomes.set(step, outcome);
    if (output.isJson) await write(() => output.json(outcomeRecord(step, outcome)));
    else if (outcome.kind === 'done')
      await write(() => output.line(`${doneWords[step.action]} ${nameOf(step)}`));
    if (outcome.kind === 'failed') output.remark(`failed: ${step.action} ${nameOf(step)}: ${outcome.why}`);
    if (outcome.kind === 'unknown') {
      output.remark(`not known whether done: ${step.action} ${nameOf(step)}: ${outcome.why}`);
    }
  });
  if (output.isJson) await write(() => output.json(summaryRecord(plan, outcomes)));
  const those = (kind: Outcome['kind']): Step[] =>
    [...outcomes.keys()].filter((step) => outcomes.get(step)!.kind === kind);
  const done = doneLine(those('done'), countActions(plan).unchanged);
  const [failed, unknown, left] = [those('failed').length, those('unknown').length, those('left').length];
  if (failed + unknown + left === 0) {
    if (!output.isJson) await write(() => output.line(done));
    return true;
  }
  output.remark(`${done}; ${failed} failed, ${unknown} not known, ${left} not begun; apply again to go on`);
  call.setExitCode(1);
  return false;
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

function tellProblems(problems: readonly Problem[]): void {
  const told = problems.slice(0, maxTold).map(problemToText);
  const more = problems.length > told.length ? [`and ${problems.length - told.length} more`] : [];
  for (const line of [...told, ...more]) process.stderr.write(`${plainText(line)}\n`);
}
