/**
 * RuoYi's management of Quartz jobs (`/monitor/job`): run once, list, look,
 * pause and resume. Clients match on its texts, so they are literal. Its status
 * 500 stands for a job that does not exist and for one that is finished; the
 * header carillon-reason tells them apart.
 */
import { ExecutionCause } from '../../../gen/carillon/v1/execution_pb.js';
import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import {
  type Answer,
  type Dialect,
  type DialectOptions,
  executionIdHeader,
  jsonAnswer,
  type Route,
} from '../dialect.ts';
import { type Failure, RequestRefused } from '../failure.ts';
import { jobId, object, oneOf, parseFields, text } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { getJob, triggerJob } from '../trigger-job.ts';
import { listJobs } from './job-list.ts';
import { groupFromName, sysJobFromJob } from './sys-job.ts';

const succeeded = { code: 200, msg: '操作成功' };
const unknownOrExpired = '任务不存在或已过期！';
const notAllowed = '没有权限访问';

const runBody = object({ jobId, jobGroup: text.nullish() });
const statusBody = object({ jobId, jobGroup: text.nullish(), status: oneOf(['0', '1']) });
const pathFields = object({ jobId });

const { get, list, trigger, pause, resume } = JobService.method;

/** The dialect of RuoYi. */
export function createRuoyi({ zone }: DialectOptions): Dialect {
  const routes: readonly Route[] = [
    { method: 'PUT', path: '/monitor/job/run', rpcs: [get, trigger], handle: runOnce },
    { method: 'PUT', path: '/monitor/job/changeStatus', rpcs: [get, pause, resume], handle: changeStatus },
    { method: 'GET', path: '/monitor/job/list', rpcs: [list], handle: showList },
    { method: 'GET', path: '/monitor/job/:jobId', rpcs: [get], handle: showJob },
  ];
  return { routes, owns: ({ path }) => /^\/monitor\/job(?:\/|$)/.test(path), refuse };

  async function showList(request: GatewayRequest): Promise<Answer> {
    const { jobs, total } = await listJobs(request, namespaceOf(request));
    const rows = jobs.map((job) => sysJobFromJob(job, zone));
    return jsonAnswer({ total, rows, code: 200, msg: '查询成功' });
  }

  async function showJob(request: GatewayRequest): Promise<Answer> {
    const asked = parseFields(pathFields, { jobId: request.param('jobId') });
    const job = await findJob(request, asked);
    return jsonAnswer({ ...succeeded, data: sysJobFromJob(job, zone) });
  }
}

async function runOnce(request: GatewayRequest): Promise<Answer> {
  const job = await findJob(request, parseFields(runBody, (await request.json()) ?? {}));
  const execution = await triggerJob(request, job, { cause: ExecutionCause.MANUAL });
  return jsonAnswer(succeeded, { headers: { [executionIdHeader]: String(execution.id) } });
}

async function changeStatus(request: GatewayRequest): Promise<Answer> {
  const { status, ...asked } = parseFields(statusBody, statusAsText(await request.json()));
  const { id } = await findJob(request, asked);
  const jobs = { case: 'job', value: { ref: { case: 'id', value: id } } } as const;
  if (status === '1') await request.call(pause, { jobs, reason: 'changeStatus' });
  else await request.call(resume, { jobs });
  return jsonAnswer(succeeded);
}

/** Clients write the status as a number, too. */
function statusAsText(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || !('status' in body)) return body ?? {};
  return typeof body.status === 'number' ? { ...body, status: String(body.status) } : body;
}

/** The job of an id; of another group than the caller says it is in, or of another namespace, it is another's. */
async function findJob(
  request: GatewayRequest,
  asked: { readonly jobId: bigint; readonly jobGroup?: string | null },
): Promise<Job> {
  const job = await getJob(request, asked.jobId);
  const group = groupFromName(asked.jobGroup ?? '');
  const isThere = job.key?.namespace === namespaceOf(request) && (group === '' || group === job.key.group);
  if (!isThere) throw new RequestRefused(404, 'there is no such job', { reason: 'JOB_NOT_FOUND' });
  return job;
}

function namespaceOf(request: GatewayRequest): string {
  return request.header('carillon-namespace') ?? 'default';
}

function refuse({ status, reason, message }: Failure, request: GatewayRequest): Answer {
  if (reason.endsWith('_NOT_FOUND') || reason === 'JOB_FINISHED') return ajaxError(500, unknownOrExpired);
  if (status === 401) return ajaxError(401, `请求访问：${request.path}，认证失败，无法访问系统资源`);
  if (status === 403) return ajaxError(403, notAllowed);
  return ajaxError(status, message);
}

const ajaxError = (status: number, msg: string): Answer =>
  jsonAnswer({ code: status, msg, data: null }, { status });
