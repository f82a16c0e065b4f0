/**
 * DataArts Factory's call that runs a job immediately. A project is a
 * namespace, a workspace a group. Only the text and the code of the job that
 * does not exist are documented; the codes of other errors are made of the
 * HTTP status in the same form.
 */
import { ExecutionCause } from '../../gen/carillon/v1/execution_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { type Answer, type Dialect, jsonAnswer, type Route } from './dialect.ts';
import { type Failure, RequestRefused } from './failure.ts';
import { list, object, parseFields, textUpTo } from './fields.ts';
import type { GatewayRequest } from './gateway-request.ts';
import { getJobByKey, triggerJob } from './trigger-job.ts';

const maxParams = 1_000;

const jobParam = object({ name: textUpTo(64), value: textUpTo(1_024, 0) });
const body = object({ jobParams: list(jobParam, maxParams).nullish() });

const { get, trigger } = JobService.method;

/** The dialect of DataArts Factory. */
export function createDataarts(): Dialect {
  const routes: readonly Route[] = [
    {
      method: 'POST',
      path: '/v1/:project_id/jobs/:job_name/run-immediate',
      rpcs: [get, trigger],
      handle: runJob,
    },
  ];
  return {
    routes,
    owns: ({ path }) => /^\/v1\/[^/]+\/jobs(?:\/|$)/.test(path),
    tokenHeader: 'x-auth-token',
    refuse,
  };
}

async function runJob(request: GatewayRequest): Promise<Answer> {
  // The document's example says nothing of a type, and clients then send one that they think of.
  const { jobParams } = parseFields(body, (await request.json({ anyType: true })) ?? {});
  const params = jobParams ?? [];
  const names = params.map(({ name }) => name);
  const twice = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twice >= 0) throw new RequestRefused(400, `jobParams[${twice}].name: must be unique in the list`);
  const job = await getJobByKey(request, {
    namespace: request.param('project_id'),
    group: request.header('workspace') ?? 'default',
    name: request.param('job_name'),
  });
  const execution = await triggerJob(request, job, {
    cause: ExecutionCause.API,
    // The call is there to try a job out, also when nothing fires it any more.
    allowFinished: true,
    parameters: params.length === 0 ? undefined : { list: params },
  });
  return jsonAnswer({ instanceId: Number(execution.id) });
}

function refuse({ status, reason, message }: Failure): Answer {
  if (reason.endsWith('_NOT_FOUND')) return dlfError(400, 'DLF.0100', 'The job does not exists.');
  return dlfError(status, `DLF.0${status}`, message);
}

const dlfError = (status: number, code: string, message: string): Answer =>
  jsonAnswer({ error_code: code, error_msg: message }, { status });
