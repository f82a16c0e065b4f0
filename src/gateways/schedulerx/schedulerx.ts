/**
 * SchedulerX's ExecuteJob, as an RPC-style call of Alibaba Cloud: everything is
 * a parameter of `/`, in the query or in a form. A namespace is a namespace, a
 * GroupId a group. `Success` tells whether the job was triggered; what the
 * service understood but could not do is answered with status 200, as there.
 */
import { randomUUID } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { ExecutionCause } from '../../../gen/carillon/v1/execution_pb.js';
import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import type { ParametersSchema } from '../../../gen/carillon/v1/parameters_pb.js';
import type { PlacementSchema } from '../../../gen/carillon/v1/target_pb.js';
import type { ErrorReason } from '../../domain/errors.ts';
import { CallFailed } from '../../rpc/local-call.ts';
import {
  type Answer,
  type Dialect,
  executionIdHeader,
  jsonAnswer,
  type RequestLine,
  type Route,
} from '../dialect.ts';
import { type Failure, RequestRefused } from '../failure.ts';
import { flag, jobId, object, oneOf, parseFields, text, textUpTo } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { getJob, triggerJob } from '../trigger-job.ts';
import { xmlElement } from './xml.ts';

/** The label by whose value DesignateType 2 chooses workers. */
const labelKey = 'label';

/** Where a run finds the job's own text when InstanceParameters took its place. */
const jobParametersKey = 'jobParameters';

const parameters = object({
  JobId: jobId,
  Namespace: textUpTo(200),
  GroupId: textUpTo(200),
  InstanceParameters: text.optional(),
  CheckJobStatus: flag.prefault(false),
  DesignateType: oneOf(['1', '2']).optional(),
  Worker: text.optional(),
  Label: text.optional(),
  ClientToken: textUpTo(200).optional(),
});

/** The element of an answer. */
const responseElement = 'ExecuteJobResponse';

const formats: ReadonlySet<string> = new Set(['XML', 'JSON']);

type Asked = ReturnType<typeof parseFields<typeof parameters>>;

const { get, list, trigger } = JobService.method;

/** The dialect of SchedulerX. */
export function createSchedulerx(): Dialect {
  const rpcs = [get, list, trigger];
  const routes: readonly Route[] = [
    { method: 'GET', path: '/', rpcs, handle: executeJob },
    { method: 'POST', path: '/', rpcs, handle: executeJob },
  ];
  return { routes, owns, createRequestId: () => randomUUID().toUpperCase(), refuse };
}

function owns({ method, path, query }: RequestLine): boolean {
  return path === '/' && (method === 'POST' || /(?:^|&)Action=/.test(query));
}

async function executeJob(request: GatewayRequest): Promise<Answer> {
  const given = await request.form();
  const token = given.get('SecurityToken') ?? request.header('x-acs-security-token');
  if (token) request.presentToken(token);
  if (!formats.has(formatOf(request))) throw new RequestRefused(400, 'Format: must be XML or JSON');
  // Newer SDKs say in a header what is asked for.
  checkAction(given.get('Action') ?? request.header('x-acs-action'));
  const asked = parseFields(parameters, Object.fromEntries(given));
  const job = await findJob(request, asked);
  const execution = await triggerJob(request, job, {
    cause: ExecutionCause.API,
    requestId: asked.ClientToken ?? '',
    requireActive: asked.CheckJobStatus,
    // Every kind of job can be executed, a one-shot whose time is over too, unless it is asked to be enabled.
    allowFinished: !asked.CheckJobStatus,
    parameters: runParameters(asked, job),
    placement: placementFrom(asked),
  });
  const id = Number(execution.id);
  const body = { Code: 200, RequestId: request.requestId ?? '', Success: true, Data: { JobInstanceId: id } };
  return answer(request, responseElement, body, 200, { [executionIdHeader]: String(id) });
}

function checkAction(action: string | undefined): void {
  if (action === 'ExecuteJob') return;
  if (action === undefined) throw new RequestRefused(400, 'Action is mandatory for this action.');
  throw new RequestRefused(404, 'Specified api is not found, please check your url and method.', {
    reason: 'UNIMPLEMENTED',
  });
}

/** The job of an id, if it is in this group of this namespace; else it says which of the three is not there. */
async function findJob(request: GatewayRequest, { JobId, Namespace, GroupId }: Asked): Promise<Job> {
  const job = await getJob(request, JobId).catch(undefinedIfNotFound);
  if (job?.key?.namespace === Namespace && job.key.group === GroupId) return job;
  const filter = { namespace: Namespace, group: GroupId };
  const found = await request.call(list, { filter, pageSize: 1 }).catch(undefinedIfNotFound);
  const where = `groupId: ${GroupId} namespace: ${Namespace}`;
  const message = found?.totalSize
    ? `jobid not exist jobId: ${JobId} ${where}`
    : `groupid not exist ${where}`;
  throw new RequestRefused(404, message, { reason: 'JOB_NOT_FOUND' });
}

function undefinedIfNotFound(error: unknown): undefined {
  if (error instanceof CallFailed && error.code === Code.NotFound) return undefined;
  throw error;
}

/** The text of the run, and beside it the job's own text, which it would hide. */
function runParameters(
  { InstanceParameters }: Asked,
  { parameters: own }: Job,
): MessageInitShape<typeof ParametersSchema> | undefined {
  if (InstanceParameters === undefined) return undefined;
  const isHidden = own?.text !== undefined && own.object?.[jobParametersKey] === undefined;
  return {
    text: InstanceParameters,
    object: isHidden ? { [jobParametersKey]: own.text as string } : undefined,
  };
}

function placementFrom({
  DesignateType,
  Worker,
  Label,
}: Asked): MessageInitShape<typeof PlacementSchema> | undefined {
  switch (DesignateType) {
    case undefined:
      return undefined;
    case '1':
      if (!Worker) throw new RequestRefused(400, 'Worker: must be set with DesignateType 1');
      return { kind: { case: 'workerId', value: Worker } };
    case '2':
      if (!Label) throw new RequestRefused(400, 'Label: must be set with DesignateType 2');
      return { kind: { case: 'labels', value: { labels: { [labelKey]: Label } } } };
  }
}

/** What the service understood, and did not do: told with status 200, as Alibaba Cloud does. */
const refusals: ReadonlySet<string> = new Set([
  'JOB_NOT_FOUND',
  'JOB_PAUSED',
  'JOB_FINISHED',
  'REQUEST_ID_REUSED',
] satisfies ErrorReason[]);

function refuse({ status, reason, message }: Failure, request: GatewayRequest): Answer {
  const body = { Code: status, Message: message, RequestId: request.requestId ?? '', Success: false };
  return refusals.has(reason)
    ? answer(request, responseElement, body, 200)
    : answer(request, 'Error', body, status);
}

function answer(
  request: GatewayRequest,
  element: string,
  body: Parameters<typeof xmlElement>[1],
  status: number,
  headers?: Readonly<Record<string, string>>,
): Answer {
  // A Format that there is not is refused, and that in XML.
  if (formatOf(request) === 'JSON') return jsonAnswer(body, { status, headers });
  return { status, headers, type: 'application/xml', body: xmlElement(element, body) };
}

/** The format that the parameter asks for, else the Accept header, else XML. */
function formatOf(request: GatewayRequest): string {
  const asked = request.parametersSoFar.get('Format');
  if (asked) return asked.toUpperCase();
  return /^application\/json\b/i.test(request.header('accept') ?? '') ? 'JSON' : 'XML';
}
