import { type Job, JobState } from '../../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import { RequestRefused } from '../failure.ts';
import { object, oneOf, parseFields, text, wholeNumber } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { groupFromName, invokeTargetOf } from './sys-job.ts';

/** How many jobs one list looks at: pages are counted from the first, and names are looked into. */
const maxJobs = 10_000;

const page = wholeNumber(1, maxJobs);

const query = object({
  pageNum: page.prefault(1),
  pageSize: page.prefault(10),
  jobName: text.prefault(''),
  jobGroup: text.prefault(''),
  invokeTarget: text.prefault(''),
  status: oneOf(['0', '1']).optional(),
});

const statesOf = { '0': [JobState.ACTIVE, JobState.FINISHED], '1': [JobState.PAUSED] } as const;

/** One page of the jobs that a query chooses, in the order in which they were made, and how many there are in all. */
export async function listJobs(
  request: GatewayRequest,
  namespace: string,
): Promise<{ readonly jobs: readonly Job[]; readonly total: number }> {
  // What is sent empty is not set.
  const given = [...request.query()].filter(([, value]) => value !== '');
  const { pageNum, pageSize, jobName, jobGroup, invokeTarget, status } = parseFields(
    query,
    Object.fromEntries(given),
  );
  const end = pageNum * pageSize;
  if (end > maxJobs) throw new RequestRefused(400, `pageNum: pageNum × pageSize must be at most ${maxJobs}`);
  const isSearch = jobName !== '' || invokeTarget !== '';
  const filter = { namespace, group: groupFromName(jobGroup), states: status ? [...statesOf[status]] : [] };
  const jobs: Job[] = [];
  let total = 0;
  let pageToken = '';
  do {
    const found = await request.call(JobService.method.list, {
      filter,
      pageToken,
      pageSize: 500,
      orderBy: 'create_time',
    });
    total = Number(found.totalSize);
    if (isSearch && total > maxJobs) {
      throw new RequestRefused(
        400,
        `jobName: there are more than ${maxJobs} jobs to look through; set jobGroup`,
      );
    }
    jobs.push(...found.jobs.filter((job) => fits(job, jobName, invokeTarget)));
    pageToken = found.nextPageToken;
  } while (pageToken !== '' && (isSearch || jobs.length < end));
  return { jobs: jobs.slice(end - pageSize, end), total: isSearch ? jobs.length : total };
}

function fits(job: Job, jobName: string, invokeTarget: string): boolean {
  return (job.key?.name.includes(jobName) ?? false) && invokeTargetOf(job.target).includes(invokeTarget);
}
