/** A Trigger that meets another change between finding the job and locking it. */
import { expect, it } from 'vitest';
import type { OverlapPolicy } from '../../src/domain/job.ts';
import { JobCache } from '../../src/engine/job-cache.ts';
import type { TriggerJob } from '../../src/engine/operations.ts';
import { TriggerCommand } from '../../src/engine/trigger-command.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { Store } from '../../src/store/store.ts';
import { caller } from '../support/caller.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();

/** Triggers a job; `meanwhile` happens when it has been found and is not locked yet. */
async function trigger(jobId: number, meanwhile: () => Promise<unknown>, more: Partial<TriggerJob> = {}) {
  const { store } = stored;
  const triggers: Store['triggers'] = Object.create(store.triggers);
  triggers.resolveAndDraw = async (db, refs) => {
    const found = await store.triggers.resolveAndDraw(db, refs);
    await meanwhile();
    return found;
  };
  const command = new TriggerCommand({
    store: { ...store, triggers },
    jobs: new JobCache(store),
    continuation: { look: () => undefined },
    notifier: { notify: () => undefined },
    clock: systemClock,
  });
  const request: TriggerJob = {
    job: { id: jobId },
    requestId: '',
    requestDigest: '',
    parameters: {},
    requireActive: false,
    allowFinished: false,
    cause: 'API',
    ...more,
  };
  return command.trigger(request, caller);
}

it.each<OverlapPolicy>(['SKIP', 'ALLOW'])(
  'is refused when the job was deleted meanwhile, under %s (I3)',
  async (overlap) => {
    const jobId = await stored.addJob({ definition: { overlap } });
    const { store } = stored;
    const meanwhile = () => store.transaction((tx) => store.jobs.delete(tx, [jobId]));
    await expect(trigger(jobId, meanwhile)).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' });
    expect(await stored.ledgerOf(jobId)).toEqual([]);
  },
);

it('is refused by require_active when the job was paused meanwhile', async () => {
  const jobId = await stored.addJob({ definition: { overlap: 'SKIP' } });
  const { store } = stored;
  const meanwhile = () =>
    store.transaction((tx) => store.pauses.insert(tx, [jobId], { id: 'p', actor: 'a', reason: 'r' }));
  await expect(trigger(jobId, meanwhile, { requireActive: true })).rejects.toMatchObject({
    reason: 'JOB_PAUSED',
  });
});

it('is decided by the policy that the job has when it is locked', async () => {
  const jobId = await stored.addJob({ definition: { overlap: 'SKIP' } });
  await stored.addExecution(jobId, { fireMs: 1_000, state: 'PENDING' });
  const { store } = stored;
  const meanwhile = () =>
    store.transaction(async (tx) => {
      const job = (await store.jobs.find(tx, { id: jobId }))!;
      await store.jobs.saveDefinition(tx, jobId, { ...job, overlap: 'BUFFER_ALL' }, undefined);
    });
  const { execution } = await trigger(jobId, meanwhile);
  expect(execution).toMatchObject({
    state: 'PENDING',
    waitingFor: 'the executions of its job that go before it',
  });
});
