/** What becomes of the calls of a batch of triggers: decisions, ledger rows, replies. */
import { type Execution, waitingForOthers, waitingForSlot, waitingForWorker } from '../domain/execution.ts';
import type { OverlapPolicy } from '../domain/job.ts';
import { type Occupancy, type OverlapDecision, OverlapRule } from '../domain/overlap.ts';
import { mergeParameters } from '../domain/parameters.ts';
import type { TriggerAudit, TriggeredRow } from '../store/trigger-store.ts';
import { boundedImage } from './audit/bounded-image.ts';
import { maskedParameters } from './audit/masked-definition.ts';
import type { CachedJob } from './job-cache.ts';
import type { Caller, TriggerJob } from './operations.ts';

/** A call that may be carried out. */
export type TriggerCall = {
  readonly place: number;
  readonly request: TriggerJob;
  readonly caller: Caller;
  readonly job: CachedJob;
  readonly namespace: string;
  readonly executionId: number;
  /** Whether the executions that calls make in its namespace are limited. */
  readonly isMetered: boolean;
  readonly overlap: OverlapPolicy;
};

/** Decides about the calls of a batch, job by job in the order of their ids. */
export function decideAll(
  calls: readonly TriggerCall[],
  occupancies: ReadonlyMap<number, Occupancy>,
): ReadonlyMap<TriggerCall, OverlapDecision> {
  const decisions = new Map<TriggerCall, OverlapDecision>();
  for (const [jobId, unordered] of Map.groupBy(calls, (call) => call.job.id)) {
    const rule = new OverlapRule(occupancies.get(jobId) ?? { bufferedCount: 0 });
    const ofJob = unordered.toSorted((a, b) => a.executionId - b.executionId);
    const replacing = ofJob.findLastIndex(({ overlap }) => overlap === 'CANCEL_OTHER');
    ofJob.forEach((call, i) => {
      decisions.set(
        call,
        i < replacing
          ? { kind: 'SKIP', message: `replaced by execution ${ofJob[replacing]!.executionId}` }
          : rule.decide(call.overlap, `execution ${call.executionId}`),
      );
    });
  }
  return decisions;
}

/** The ledger row of a call. */
export function rowOf(call: TriggerCall, decision: OverlapDecision): TriggeredRow {
  const { request, job, executionId: id } = call;
  const end =
    decision.kind === 'SKIP'
      ? ({ state: 'SKIPPED', reason: 'OVERLAP', message: decision.message } as const)
      : ({ state: 'PENDING', message: '' } as const);
  return {
    id,
    jobId: job.id,
    cause: request.cause,
    priority: job.definition.priority,
    queueTimeoutMs: job.definition.queueTimeoutMs ?? null,
    parameters: hasParameters(request) ? request.parameters : null,
    buffered: decision.kind === 'BUFFER',
    placement: request.placement ?? null,
    audit: auditOf(call, end.state),
    ...end,
  };
}

/** What the audit says of a call: what came of it, and that it had parameters, but not which values. */
function auditOf(
  { request, caller, executionId, overlap }: TriggerCall,
  state: TriggeredRow['state'],
): TriggerAudit {
  const { actor, method, peer, requestId } = caller;
  const { cause, placement } = request;
  const parameters = maskedParameters(request.parameters);
  const after = { executionId, state, cause, overlap, parameters, placement };
  // Nothing else of it can be large.
  return { actor, method, peer, requestId, after: parameters ? boundedImage(after) : after };
}

const hasParameters = ({ parameters }: TriggerJob): boolean =>
  parameters.text !== undefined || parameters.object !== undefined || (parameters.list?.length ?? 0) > 0;

/** The execution as the caller gets it. */
export function executionOf(row: TriggeredRow, job: CachedJob, at: Date): Execution {
  return {
    id: row.id,
    jobId: row.jobId,
    jobKey: job.key,
    schedule: '',
    cause: row.cause,
    fireAt: at,
    createdAt: at,
    finishedAt: row.state === 'SKIPPED' ? at : undefined,
    state: row.state,
    reason: row.reason,
    message: row.message,
    attempt: 0,
    attempts: [],
    parameters: mergeParameters(job.definition.parameters, row.parameters),
    priority: row.priority,
    term: 0,
    waitingFor: row.state === 'PENDING' ? waitingFor(row, job) : '',
    skippedCount: 0,
  };
}

function waitingFor(row: TriggeredRow, { definition: { target } }: CachedJob): string {
  if (row.buffered) return waitingForOthers;
  return target.kind === 'worker' ? waitingForWorker(target.queue) : waitingForSlot;
}
