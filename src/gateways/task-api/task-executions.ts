import { Code } from '@connectrpc/connect';
import type { LogEntry } from '../../../gen/carillon/v1/execution_pb.js';
import { ExecutionService } from '../../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../../gen/carillon/v1/job_service_pb.js';
import { CallFailed } from '../../rpc/local-call.ts';
import { type Answer, jsonAnswer } from '../dialect.ts';
import { RequestRefused } from '../failure.ts';
import { object, parseFields, wholeNumber } from '../fields.ts';
import type { GatewayRequest } from '../gateway-request.ts';
import { getJobByKey } from '../trigger-job.ts';
import { executionIdFromUuid } from './execution-uuid.ts';
import { type LogPage, taskExecution } from './task-execution.ts';
import { placeOf } from './task-place.ts';

const executions = ExecutionService.method;

/** How many lines one call of ListLogs answers at most. */
const linesPerCall = 500;

const after = wholeNumber(0, Number.MAX_SAFE_INTEGER);
const oneQuery = object({ logAfter: after.prefault(0), logLimit: wholeNumber(0, 5_000).prefault(1_000) });
const listQuery = object({
  limit: wholeNumber(1, 100).prefault(20),
  logLimit: wholeNumber(0, linesPerCall).prefault(100),
});

/** Shows one execution, with its log from `logAfter` on, `logLimit` lines at most. */
export async function showExecution(request: GatewayRequest): Promise<Answer> {
  const { logAfter, logLimit } = parseFields(oneQuery, Object.fromEntries(request.query()));
  const uuid = request.param('executionId');
  const executionId = executionIdFromUuid(uuid);
  if (executionId === undefined) {
    throw new RequestRefused(404, `there is no execution ${uuid.slice(0, 100)}`, {
      reason: 'EXECUTION_NOT_FOUND',
    });
  }
  const { execution } = await request.call(executions.get, { executionId });
  if (execution === undefined) throw new Error('the answer to Get has no execution');
  const page = await readLog(request, executionId, BigInt(logAfter), logLimit);
  // The job may have been deleted since.
  const { job } = await request
    .call(JobService.method.get, { job: { ref: { case: 'id', value: execution.jobId } } })
    .catch((error: unknown) => {
      if (error instanceof CallFailed && error.code === Code.NotFound) return { job: undefined };
      throw error;
    });
  return jsonAnswer(taskExecution(execution, page, job));
}

/** Shows the newest executions of a task, `limit` at most, each with the first `logLimit` lines of its log. */
export async function showExecutionsOf(request: GatewayRequest): Promise<Answer> {
  const { limit, logLimit } = parseFields(listQuery, Object.fromEntries(request.query()));
  const job = await getJobByKey(request, { ...placeOf(request), name: request.param('taskName') });
  const listed = await request.call(executions.list, {
    filter: { job: { ref: { case: 'id', value: job.id } } },
    pageSize: limit,
  });
  const shown = listed.executions.map(async (execution) => {
    const page = await readLog(request, execution.id, 0n, logLimit);
    const { taskName: _, ...item } = taskExecution(execution, page, job);
    return item;
  });
  return jsonAnswer(await Promise.all(shown));
}

async function readLog(
  request: GatewayRequest,
  executionId: bigint,
  from: bigint,
  limit: number,
): Promise<LogPage> {
  const entries: LogEntry[] = [];
  let afterSeq = from;
  let hasMore = true;
  while (hasMore && entries.length < limit) {
    const page = await request.call(executions.listLogs, {
      executionId,
      afterSeq,
      pageSize: Math.min(linesPerCall, limit - entries.length),
    });
    entries.push(...page.entries);
    afterSeq = page.entries.at(-1)?.seq ?? afterSeq;
    hasMore = page.nextPageToken !== '';
  }
  return { entries, isFirst: from === 0n, nextAfter: hasMore && limit > 0 ? afterSeq : undefined };
}
