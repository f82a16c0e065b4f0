/**
 * Does what a plan says: first what is made and changed, then, when all of that
 * went well, what is pruned, so that a job that moves is never without both.
 *
 * Every change holds to what the plan has seen. A job that is made must not be
 * there, one that is changed or deleted must have the etag that it had; who came
 * in between is told, not overwritten. What was under way when the connection
 * broke or the command was stopped may be done or not: applying again finds out.
 */
import { randomUUID } from 'node:crypto';
import { ConnectError } from '@connectrpc/connect';
import type { ClientCall } from '../client-command.ts';
import { carillonReason, isInterruption } from '../error-lines.ts';
import { definitionFields } from './definition-fields.ts';
import { mapInFlight } from './in-flight.ts';
import type { Step } from './plan.ts';

/** What became of a step. */
export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly why: string }
  /** It was under way when the connection ended. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** It was not begun. */
  | { readonly kind: 'left' };

/** Carries the steps out; tells the outcome of each as soon as it is known, and at last of those that were not begun. */
export async function carryOut(
  call: Pick<ClientCall, 'jobs' | 'signal'>,
  steps: readonly Step[],
  tell: (step: Step, outcome: Outcome) => Promise<void>,
): Promise<void> {
  let isBroken = false;
  let hasFailed = false;
  const perform = async (step: Step): Promise<void> => {
    if (isBroken || call.signal.aborted) return tell(step, { kind: 'left' });
    const outcome = await attempt(call, step);
    if (outcome.kind === 'unknown') isBroken = true;
    if (outcome.kind !== 'done') hasFailed = true;
    await tell(step, outcome);
  };
  const never = new AbortController().signal;
  const saved = steps.filter(({ action }) => action === 'create' || action === 'change');
  const pruned = steps.filter(({ action }) => action === 'prune');
  await mapInFlight(saved, never, perform);
  if (hasFailed) for (const step of pruned) await tell(step, { kind: 'left' });
  else await mapInFlight(pruned, never, perform);
}

async function attempt(call: Pick<ClientCall, 'jobs' | 'signal'>, step: Step): Promise<Outcome> {
  try {
    await send(call, step);
    return { kind: 'done' };
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (call.signal.aborted) return { kind: 'unknown', why: 'stopped' };
    if (isInterruption(error)) return { kind: 'unknown', why: error.rawMessage };
    return { kind: 'failed', why: failureToText(error) };
  }
}

async function send({ jobs }: Pick<ClientCall, 'jobs'>, step: Step): Promise<void> {
  switch (step.action) {
    case 'create':
      await jobs.add({ job: step.wanted.job, requestId: randomUUID() });
      return;
    case 'change': {
      const { id, etag } = step.present;
      const updateMask = { paths: [...definitionFields] };
      await jobs.update({ job: { ...step.wanted.job, id }, updateMask, etag });
      return;
    }
    case 'prune': {
      const { id, etag } = step.present;
      const ref = { ref: { case: 'id' as const, value: id } };
      await jobs.delete({ jobs: { case: 'job', value: ref }, etag });
      return;
    }
    case 'unchanged':
      return;
  }
}

/** Why a step failed; who was faster is told in the words of a plan. */
function failureToText(error: ConnectError): string {
  switch (carillonReason(error)) {
    case 'JOB_ALREADY_EXISTS':
      return 'somebody has added it since the plan was made; apply again';
    case 'ETAG_MISMATCH':
      return 'somebody has changed it since the plan was made; apply again';
    case 'JOB_NOT_FOUND':
      return 'somebody has deleted it since the plan was made; apply again';
    default:
      return error.rawMessage;
  }
}
