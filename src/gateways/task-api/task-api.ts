/**
 * A task management API: execute by name, look at executions and their logs,
 * cancel. A task is a job of the namespace and group `default`, or of those that
 * the headers carillon-namespace and carillon-group name.
 */
import { ExecutionCause } from '../../../gen/carillon/v1/execution_pb.js';
import { ExecutionService } from '../../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import { type Answer, type Dialect, jsonAnswer, type Route } from '../dialect.ts';
import type { Failure } from '../failure.ts';
import { jsonObject, list, object, parseFields, text } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { getJobByKey, triggerJob } from '../trigger-job.ts';
import { executionIdFromUuid, uuidFromExecutionId } from './execution-uuid.ts';
import { showExecution, showExecutionsOf } from './task-executions.ts';
import { placeOf } from './task-place.ts';

const executeBody = object({ params: jsonObject.nullish() });
const idsBody = object({ executionIds: list(text, 10_000) });
const namesBody = object({ taskNames: list(text, 1_000) });

const jobs = JobService.method;
const executions = ExecutionService.method;

/** The dialect of the task management API. */
export function createTaskApi(): Dialect {
  const execute = [jobs.get, jobs.trigger];
  const cancel = [executions.cancel];
  const routes: readonly Route[] = [
    {
      method: 'POST',
      path: '/tasks/:taskName/execute/manual',
      rpcs: execute,
      handle: (request) => executeTask(request, ExecutionCause.MANUAL),
    },
    {
      method: 'POST',
      path: '/tasks/:taskName/execute/api',
      rpcs: execute,
      handle: (request) => executeTask(request, ExecutionCause.API),
    },
    {
      method: 'GET',
      path: '/tasks/running/execution/:executionId',
      rpcs: [executions.get, executions.listLogs, jobs.get],
      handle: showExecution,
    },
    {
      method: 'GET',
      path: '/tasks/running/:taskName',
      rpcs: [jobs.get, executions.list, executions.listLogs],
      handle: showExecutionsOf,
    },
    { method: 'DELETE', path: '/tasks/executions/cancel/by-ids', rpcs: cancel, handle: cancelByIds },
    { method: 'DELETE', path: '/tasks/executions/cancel/by-task-names', rpcs: cancel, handle: cancelByNames },
    { method: 'DELETE', path: '/tasks/executions/cancel/all', rpcs: cancel, handle: cancelAll },
  ];
  return { routes, owns: ({ path }) => path.startsWith('/tasks/'), refuse };
}

async function executeTask(
  request: GatewayRequest,
  cause: ExecutionCause.MANUAL | ExecutionCause.API,
): Promise<Answer> {
  const { params } = parseFields(executeBody, (await request.json()) ?? {});
  const job = await getJobByKey(request, { ...placeOf(request), name: request.param('taskName') });
  const { id } = await triggerJob(request, job, {
    cause,
    // A task is executed whenever somebody says so, also when nothing fires it any more.
    allowFinished: true,
    parameters: params ? { object: params } : undefined,
  });
  const executionId = uuidFromExecutionId(id);
  // Both, because the documented client reads response.data.executionId: of the body, or of axios's response.
  return jsonAnswer({ executionId, data: { executionId } });
}

async function cancelByIds(request: GatewayRequest): Promise<Answer> {
  const { executionIds: uuids } = parseFields(idsBody, (await request.json()) ?? {});
  const known = new Map(uuids.map((uuid) => [uuid, executionIdFromUuid(uuid)] as const));
  const ids = [...new Set(known.values())].filter((id) => id !== undefined);
  // Nothing that could be one of ours is asked for. Who may ask is judged all the same: no execution has the id 1.
  const executionIds = ids.length > 0 ? ids : [1n];
  const done = await request.call(executions.cancel, {
    executions: { case: 'byIds', value: { executionIds } },
    reason: cancelReason,
  });
  const named = (found: readonly bigint[]): string[] => {
    const set = new Set(found);
    return [...known].flatMap(([uuid, id]) => (id !== undefined && set.has(id) ? [uuid] : []));
  };
  const strange = [...known].flatMap(([uuid, id]) => (id === undefined ? [uuid] : []));
  return jsonAnswer({
    cancelled: named(done.canceled),
    notFound: [...named(done.notFound), ...strange],
    ...(done.alreadyFinished.length > 0 && { alreadyFinished: named(done.alreadyFinished) }),
  });
}

async function cancelByNames(request: GatewayRequest): Promise<Answer> {
  const { taskNames } = parseFields(namesBody, (await request.json()) ?? {});
  if (taskNames.length === 0) return jsonAnswer({ cancelled: [], taskNotFound: [] });
  const refs = [...new Set(taskNames)].map((name) => ({
    ref: { case: 'key' as const, value: { ...placeOf(request), name } },
  }));
  const done = await request.call(executions.cancel, {
    executions: { case: 'byJobs', value: { jobs: refs } },
    reason: cancelReason,
  });
  return jsonAnswer({
    cancelled: done.canceled.map(uuidFromExecutionId),
    taskNotFound: done.jobsNotFound.flatMap(({ ref }) => (ref.case === 'key' ? [ref.value.name] : [])),
  });
}

/** All that these calls can see: the tasks of one group. A namespace may hold others, which are nobody's here. */
async function cancelAll(request: GatewayRequest): Promise<Answer> {
  const done = await request.call(executions.cancel, {
    executions: { case: 'bySelector', value: placeOf(request) },
    reason: cancelReason,
  });
  return jsonAnswer({ count: Number(done.count) });
}

const cancelReason = 'canceled through the task management API';

function refuse({ status, reason, message }: Failure): Answer {
  return jsonAnswer({ statusCode: status, error: reason, message }, { status });
}
