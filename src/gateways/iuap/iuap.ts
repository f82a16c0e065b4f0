/**
 * The task dispatch of Yonyou's iuap: add, pause, resume, delete and trigger
 * tasks by group and name. `success` tells whether it was done, `error` why not;
 * what was understood but could not be done is answered with status 200.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { ExecutionCause } from '../../../gen/carillon/v1/execution_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import type { ErrorReason } from '../../domain/errors.ts';
import {
  type Answer,
  type Dialect,
  type DialectOptions,
  executionIdHeader,
  jsonAnswer,
  type Route,
} from '../dialect.ts';
import { type Failure, RequestRefused } from '../failure.ts';
import { object, parseFields, text } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { getJobByKey, triggerJob } from '../trigger-job.ts';
import { readAdd } from './task-config.ts';

const jobs = JobService.method;

const taskName = object({ jobName: text, groupName: text });

/** The dialect of iuap-dispatch. */
export function createIuap(options: DialectOptions): Dialect {
  const route = (call: string, rpcs: readonly DescMethod[], handle: Route['handle']): Route => ({
    method: 'POST',
    path: `/dispatchserver/${call}`,
    rpcs,
    handle,
  });
  const routes = [
    route('add.do', [jobs.add], (request) => add(request, options)),
    route('pause.do', [jobs.pause], pause),
    route('resumeTask.do', [jobs.resume], resume),
    route('delete.do', [jobs.delete], remove),
    route('trigger.do', [jobs.get, jobs.trigger], trigger),
    // As the document prints it: there are clients that ask so.
    route(' trigger.do', [jobs.get, jobs.trigger], trigger),
  ];
  return { routes, owns: ({ path }) => path.startsWith('/dispatchserver/'), refuse };
}

async function add(request: GatewayRequest, options: DialectOptions): Promise<Answer> {
  const { job, replace } = readAdd((await request.jsonOrForm()) ?? {}, options);
  const key = { ...job.key, namespace: namespaceOf(request) };
  await request.call(jobs.add, { job: { ...job, key }, replace });
  return done();
}

async function pause(request: GatewayRequest): Promise<Answer> {
  await request.call(jobs.pause, { jobs: await readTask(request), reason: 'pause.do' });
  return done();
}

async function resume(request: GatewayRequest): Promise<Answer> {
  await request.call(jobs.resume, { jobs: await readTask(request) });
  return done();
}

async function remove(request: GatewayRequest): Promise<Answer> {
  const { existed } = await request.call(jobs.delete, { jobs: await readTask(request) });
  if (!existed) throw new RequestRefused(404, 'there is no such task', { reason: 'JOB_NOT_FOUND' });
  return done();
}

async function trigger(request: GatewayRequest): Promise<Answer> {
  const { value } = await readTask(request);
  const job = await getJobByKey(request, value.ref.value);
  const { id } = await triggerJob(request, job, { cause: ExecutionCause.API });
  return done({ [executionIdHeader]: String(id) });
}

/** The task that a request names, as the calls want it. */
async function readTask(request: GatewayRequest) {
  const { jobName, groupName } = parseFields(taskName, (await request.jsonOrForm()) ?? {});
  const key = { namespace: namespaceOf(request), group: groupName, name: jobName };
  return { case: 'job', value: { ref: { case: 'key', value: key } } } as const;
}

function namespaceOf(request: GatewayRequest): string {
  return request.header('carillon-namespace') ?? 'default';
}

const done = (headers?: Readonly<Record<string, string>>): Answer =>
  jsonAnswer({ success: true, error: '', resultValue: null }, { headers });

/** What was understood, and could not be done: told with status 200. */
const refusals: ReadonlySet<string> = new Set([
  'JOB_NOT_FOUND',
  'NAMESPACE_NOT_FOUND',
  'JOB_ALREADY_EXISTS',
  'JOB_FINISHED',
  'JOB_STATE_CONFLICT',
] satisfies ErrorReason[]);

function refuse({ status, reason, message }: Failure): Answer {
  return jsonAnswer(
    { success: false, error: message, resultValue: null },
    { status: refusals.has(reason) ? 200 : status },
  );
}
