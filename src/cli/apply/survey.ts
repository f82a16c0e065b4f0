/**
 * Finds out what is to be done, without changing anything.
 *
 * What a job would be is asked of the service, by Add with validate_only: it
 * answers in the form in which it stores jobs, and refuses what it would
 * refuse. So nothing that it fills in is ever taken for a difference, whatever
 * it learns to fill in, and no rule about jobs is told twice.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import { BadRequestSchema } from '../../../gen/google/rpc/error_details_pb.js';
import type { ClientCall } from '../client-command.ts';
import { carillonReason, isInterruption } from '../error-lines.ts';
import { jobKeyToText } from '../job-name.ts';
import { mapInFlight } from './in-flight.ts';
import { jobChanges, touchesSchedules } from './job-changes.ts';
import type { Manifest, WantedJob } from './manifest.ts';
import { keyText } from './manifests.ts';
import { ownerLabel } from './owner.ts';
import type { Place, Problem } from './placed-value.ts';
import { ownerRefusal, type Step } from './plan.ts';

/** What a survey asks. */
export type SurveyCall = Pick<ClientCall, 'jobs' | 'signal'>;

/** How many fire times a plan shows of each job. */
const shownFireTimes = 10;

/** The most jobs of one page. */
const pageSize = 500;

/** All jobs that carry the label of one of the manifests' owners, in all namespaces. */
export async function listOwned(
  { jobs, signal }: SurveyCall,
  manifests: readonly Manifest[],
): Promise<Job[]> {
  const owned: Job[] = [];
  for (const owner of new Set(manifests.map((manifest) => manifest.owner))) {
    if (owner === '') continue;
    let pageToken = '';
    do {
      const filter = { labels: { [ownerLabel]: owner } };
      const page = await jobs.list({ filter, orderBy: 'key', pageSize, pageToken }, { signal });
      owned.push(...page.jobs);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }
  return owned;
}

/** What is to be done for the jobs of the manifests, and what the service refuses of them. */
export async function surveyJobs(
  call: SurveyCall,
  wanted: readonly WantedJob[],
  owned: readonly Job[],
  { adopts }: { readonly adopts: boolean },
): Promise<{ readonly steps: readonly Step[]; readonly refusals: readonly Problem[] }> {
  const known = new Map(owned.flatMap((job) => (job.key ? [[keyText(job.key), job] as const] : [])));
  const surveyed = await mapInFlight(wanted, call.signal, (each) =>
    surveyWanted(call, each, known.get(keyText(each.job.key)), adopts),
  );
  return {
    steps: surveyed.filter((each): each is Step => 'action' in each),
    refusals: surveyed.flatMap((each) => ('action' in each ? [] : each)),
  };
}

async function surveyWanted(
  call: SurveyCall,
  wanted: WantedJob,
  known: Job | undefined,
  adopts: boolean,
): Promise<Step | readonly Problem[]> {
  const present = known ?? (await findJob(call, wanted));
  const refusal = present && ownerRefusal(wanted, present, adopts);
  if (refusal !== undefined) {
    return [{ place: wanted.place, text: `job ${JSON.stringify(jobKeyToText(wanted.job.key))} ${refusal}` }];
  }
  try {
    return await surveyJob(call, wanted, present);
  } catch (error) {
    if (!(error instanceof ConnectError) || !isRefusal(error)) throw error;
    // Somebody has added it since it was looked for: it is there now, and judged as such.
    const added = !present && isTaken(error) ? await findJob(call, wanted) : undefined;
    return added ? surveyWanted(call, wanted, added, adopts) : problemsOf(error, wanted);
  }
}

const isTaken = (error: ConnectError): boolean => carillonReason(error) === 'JOB_ALREADY_EXISTS';

async function findJob({ jobs, signal }: SurveyCall, { job: { key } }: WantedJob): Promise<Job | undefined> {
  try {
    return (await jobs.get({ job: { ref: { case: 'key', value: key } } }, { signal })).job;
  } catch (error) {
    if (error instanceof ConnectError && carillonReason(error) === 'JOB_NOT_FOUND') return undefined;
    // A key that cannot be one is refused below, with its place.
    if (error instanceof ConnectError && error.code === Code.InvalidArgument) return undefined;
    throw error;
  }
}

async function surveyJob(call: SurveyCall, wanted: WantedJob, present: Job | undefined): Promise<Step> {
  const { jobs, signal } = call;
  const { job } = wanted;
  const valid = await jobs.add({ job, replace: present !== undefined, validateOnly: true }, { signal });
  const preview = (request: Parameters<typeof jobs.preview>[0]) =>
    jobs.preview({ ...request, count: shownFireTimes }, { signal });
  const unsaved = async () => {
    if (job.schedules.length === 0) return undefined;
    try {
      return await preview({ schedules: job.schedules, key: job.key });
    } catch (error) {
      // What is left of it has just passed, within the grace: it fires at once, and never again.
      if (error instanceof ConnectError && carillonReason(error) === 'INVALID_SCHEDULE') return undefined;
      throw error;
    }
  };
  const { warnings } = valid;
  if (!present) {
    // What the reply to Add says of schedules is spread by an id that is drawn for it; the preview's goes with its times.
    const shown = await unsaved();
    const others = warnings.filter((text) => !text.startsWith('schedule "'));
    return {
      action: 'create',
      wanted,
      warnings: [...others, ...(shown?.warnings ?? [])],
      fireTimes: shown?.fireTimes ?? [],
    };
  }
  const changes = jobChanges(present, valid.job!);
  if (changes.length === 0) return { action: 'unchanged', present };
  if (!touchesSchedules(changes)) return { action: 'change', wanted, present, changes, warnings: [] };
  const stored = preview({ job: { ref: { case: 'id', value: present.id } } });
  const [before, after] = await Promise.all([stored, unsaved()]);
  const fireTimes = { before: before.fireTimes, after: after?.fireTimes ?? [] };
  return { action: 'change', wanted, present, changes, warnings, fireTimes };
}

/** Whether the service has judged the job, rather than not answered. */
const isRefusal = (error: ConnectError): boolean =>
  carillonReason(error) !== undefined && !isInterruption(error) && error.code !== Code.Internal;

/** A refusal as problems at the fields that it names. */
function problemsOf(error: ConnectError, wanted: WantedJob): readonly Problem[] {
  const label = `job ${JSON.stringify(jobKeyToText(wanted.job.key))}: `;
  const violations = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations);
  if (violations.length === 0) return [{ place: wanted.place, text: `${label}${error.rawMessage}` }];
  return violations.map(({ field, description }) => {
    const path = field.replace(/^job\./, '');
    return { place: placeOf(path, wanted), text: `${label}${path}: ${description}` };
  });
}

/** Where a field stands, or the nearest thing around it that the manifest names. */
function placeOf(path: string, { places, place }: WantedJob): Place {
  for (let part = path; part !== ''; part = part.replace(/(\.[^.[\]]*|\[[^\]]*\]|^[^.[\]]*)$/, '')) {
    const found = places.get(part);
    if (found) return found;
  }
  return place;
}
