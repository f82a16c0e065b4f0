import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  ExecutionFilterSchema,
  ExecutionServiceCancelRequestSchema,
  ExecutionServiceListLogsRequestSchema,
  ExecutionServiceStreamRequestSchema,
} from '../../../gen/carillon/v1/execution_service_pb.js';
import { SelectorSchema } from '../../../gen/carillon/v1/job_key_pb.js';
import {
  JobServiceAddRequestSchema,
  JobServiceDeleteRequestSchema,
  JobServiceListRequestSchema,
  JobServicePreviewRequestSchema,
  JobServiceResumeRequestSchema,
  JobServiceTriggerRequestSchema,
  JobServiceUpdateRequestSchema,
} from '../../../gen/carillon/v1/job_service_pb.js';
import { DomainError } from '../../../src/domain/errors.ts';
import { jobDefaults } from '../../../src/domain/job.ts';
import {
  cancelChoiceFromMessage,
  executionFilterFromMessage,
  listLogsFromMessage,
  streamRequestFromMessage,
} from '../../../src/rpc/messages/execution-requests.ts';
import { selectorFromMessage } from '../../../src/rpc/messages/job-key.ts';
import {
  addJobFromMessage,
  deleteChoiceFromMessage,
  jobFilterFromMessage,
  jobOrderFromMessage,
  previewFromMessage,
  previewOptionsFromMessage,
  resumeOptionsFromMessage,
  triggerJobFromMessage,
  updateJobFromMessage,
} from '../../../src/rpc/messages/job-requests.ts';
import { pageFromMessage } from '../../../src/rpc/messages/pages.ts';

const target = { kind: { case: 'http', value: { url: 'http://a' } } } as const;

/** The fields that a conversion refuses. */
function refusedFields(convert: () => unknown): (string | undefined)[] {
  try {
    convert();
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    return (error as DomainError).details.violations?.map(({ field }) => field) ?? [];
  }
  return [];
}

describe('Add', () => {
  const add = (init: MessageInitShape<typeof JobServiceAddRequestSchema>) =>
    addJobFromMessage(create(JobServiceAddRequestSchema, init));

  it('requires key and target, and names all that is missing', () => {
    expect(refusedFields(() => add({ job: {} }))).toEqual(['job.key', 'job.target']);
    expect(refusedFields(() => add({ job: { key: { name: 'a' } } }))).toEqual(['job.target']);
  });

  it('refuses an interval that is not whole milliseconds, by its path', () => {
    const every = { nanos: 10_000_001 };
    const schedules = [
      { kind: { case: 'cron', value: { expression: '* * * * *' } } },
      { kind: { case: 'interval', value: { every } } },
    ] as const;
    expect(
      refusedFields(() => add({ job: { key: { name: 'a' }, target, schedules: [...schedules] } })),
    ).toEqual(['job.schedules[1].interval.every']);
  });

  it('refuses a jitter that is not whole milliseconds, by its path', () => {
    const kind = { case: 'cron', value: { expression: '* * * * *' } } as const;
    const schedules = [{ kind }, { kind, jitter: { nanos: 1 } }];
    expect(refusedFields(() => add({ job: { key: { name: 'a' }, target, schedules } }))).toEqual([
      'job.schedules[1].jitter',
    ]);
  });

  it('refuses a name that stands twice in the list of parameters', () => {
    const parameters = { list: [{ name: 'a' }, { name: 'b' }, { name: 'a' }] };
    expect(refusedFields(() => add({ job: { key: { name: 'a' }, target, parameters } }))).toEqual([
      'job.parameters.list[2].name',
    ]);
  });
});

describe('Update', () => {
  const update = (
    job: MessageInitShape<typeof JobServiceUpdateRequestSchema>['job'],
    paths: string[] = [],
    etag = '',
  ) => updateJobFromMessage(create(JobServiceUpdateRequestSchema, { job, updateMask: { paths }, etag }));

  it('changes the masked fields only', () => {
    const { changes } = update({ id: 1n, description: 'new', priority: 5 }, ['priority']);
    expect(changes).toEqual({ priority: 5 });
  });

  it('clears a masked field that is absent to its default', () => {
    const paths = [
      'description',
      'labels',
      'schedules',
      'parameters',
      'priority',
      'overlap',
      'misfire',
      'retry',
    ];
    const { changes } = update({ id: 1n }, [...paths, 'attempt_timeout', 'queue_timeout']);
    expect(changes).toEqual({
      description: '',
      labels: {},
      schedules: [],
      parameters: {},
      priority: 0,
      overlap: jobDefaults.overlap,
      misfire: jobDefaults.misfire,
      retry: jobDefaults.retry,
      attemptTimeoutMs: jobDefaults.attemptTimeoutMs,
      clearQueueTimeout: true,
    });
  });

  it('changes the fields that are set where the mask is empty', () => {
    const { changes } = update({
      id: 1n,
      description: 'new',
      queueTimeout: { seconds: 5n },
      labels: { a: 'b' },
    });
    expect(changes).toEqual({ description: 'new', queueTimeoutMs: 5_000, labels: { a: 'b' } });
  });

  it('cannot clear the target', () => {
    expect(refusedFields(() => update({ id: 1n }, ['target']))).toEqual(['job.target']);
  });

  it.each([
    'nothing',
    'id',
    'key',
    'state',
    'etag',
    'start_paused',
    'target.http',
    'attemptTimeout',
    '*',
    '',
  ])('refuses the path %j', (path) => {
    expect(refusedFields(() => update({ id: 1n }, ['priority', path]))).toEqual(['update_mask']);
  });

  it('goes by the id where there is one, else by the key', () => {
    const key = { name: 'n' };
    expect(update({ id: 7n, key }).job).toEqual({ id: 7 });
    expect(update({ key }).job).toEqual({ key: { namespace: 'default', group: 'default', name: 'n' } });
    expect(refusedFields(() => update({}))).toEqual(['job']);
    expect(refusedFields(() => update({ id: -1n }))).toEqual(['job.id']);
    expect(refusedFields(() => update({ id: 2n ** 53n }))).toEqual(['job.id']);
  });

  it('hands the etag on as the revision that the caller saw', () => {
    expect(update({ id: 1n }, [], 'zz').etag).toBe('1295');
    expect(update({ id: 1n }, [], 'mine').etag).not.toBe('');
  });
});

describe('Delete', () => {
  const remove = (init: MessageInitShape<typeof JobServiceDeleteRequestSchema>) =>
    deleteChoiceFromMessage(create(JobServiceDeleteRequestSchema, init));
  const job = { case: 'job', value: { ref: { case: 'id', value: 7n } } } as const;

  it('hands the etag of one job on as the revision that the caller saw', () => {
    expect(remove({ jobs: job, etag: 'zz' })).toEqual({ job: { id: 7 }, etag: '1295' });
    expect(remove({ jobs: job })).toEqual({ job: { id: 7 }, etag: '' });
  });

  it('refuses an etag with a selector', () => {
    const jobs = { case: 'selector', value: { group: 'g' } } as const;
    expect(refusedFields(() => remove({ jobs, etag: 'zz' }))).toEqual(['etag']);
    expect(remove({ jobs })).toMatchObject({ selector: { group: 'g' } });
  });
});

describe('Trigger', () => {
  const trigger = (
    init: Omit<MessageInitShape<typeof JobServiceTriggerRequestSchema>, 'job' | '$typeName'>,
  ) =>
    triggerJobFromMessage(
      create(JobServiceTriggerRequestSchema, { ...init, job: { ref: { case: 'id', value: 1n } } }),
    );

  it('is by hand unless the call says by a program', () => {
    expect(trigger({}).cause).toBe('MANUAL');
    expect(trigger({ cause: 2 }).cause).toBe('MANUAL');
    expect(trigger({ cause: 3 }).cause).toBe('API');
  });

  it("leaves the job's overlap policy alone unless the call overrides it", () => {
    expect(trigger({}).overlap).toBeUndefined();
    expect(trigger({ overlap: 5 }).overlap).toBe('ALLOW');
  });

  it('has a digest only with a request_id', () => {
    expect(trigger({}).requestDigest).toBe('');
    expect(trigger({ requestId: 'r' }).requestDigest).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('selectors', () => {
  it('are refused with nothing set', () => {
    expect(refusedFields(() => selectorFromMessage(create(SelectorSchema), 'by_selector'))).toEqual([
      'by_selector',
    ]);
  });

  it('leave out what is not set', () => {
    const selector = selectorFromMessage(create(SelectorSchema, { labels: { a: '' } }), 'selector');
    expect(selector).toEqual({ labels: { a: '' } });
  });
});

describe('other requests', () => {
  it('read an empty filter as none', () => {
    const { filter } = create(JobServiceListRequestSchema, { filter: {} });
    expect(jobFilterFromMessage(filter)).toEqual({});
    expect(jobOrderFromMessage(create(JobServiceListRequestSchema))).toBe('key');
  });

  it('read the backfill 0 of a filter as no condition', () => {
    expect(executionFilterFromMessage(create(ExecutionFilterSchema))).toEqual({});
    expect(executionFilterFromMessage(create(ExecutionFilterSchema, { backfillId: 7n }))).toEqual({
      backfillId: 7,
    });
  });

  it.each([
    [0, 50],
    [1, 1],
    [500, 500],
    [501, 500],
    [2_147_483_647, 500],
  ])('take a page of size %i as %i', (pageSize, size) => {
    expect(pageFromMessage({ pageSize, pageToken: 't' })).toEqual({ size, token: 't' });
  });

  it('drop what was held back unless Resume says otherwise', () => {
    expect(resumeOptionsFromMessage(create(JobServiceResumeRequestSchema)).missed).toBe('DROP');
    expect(resumeOptionsFromMessage(create(JobServiceResumeRequestSchema, { missed: 3 })).missed).toBe(
      'RUN_ALL',
    );
  });

  it('preview a stored job before schedules, and refuse neither', () => {
    const schedules = [{ kind: { case: 'cron', value: { expression: '* * * * *' } } }] as const;
    const both = create(JobServicePreviewRequestSchema, {
      job: { ref: { case: 'id', value: 4n } },
      schedules: [...schedules],
    });
    expect(previewFromMessage(both)).toEqual({ job: { id: 4 } });
    const unsaved = create(JobServicePreviewRequestSchema, { schedules: [...schedules] });
    expect(previewFromMessage(unsaved)).toMatchObject({ schedules: [{ name: '0' }] });
    const neither = create(JobServicePreviewRequestSchema);
    expect(refusedFields(() => previewFromMessage(neither))).toEqual(['job']);
    expect(previewOptionsFromMessage(neither)).toEqual({ count: 10 });
  });

  it('cancel in one of five ways', () => {
    const choose = (executions: MessageInitShape<typeof ExecutionServiceCancelRequestSchema>['executions']) =>
      cancelChoiceFromMessage(create(ExecutionServiceCancelRequestSchema, { executions }));
    expect(choose({ case: 'byIds', value: { executionIds: [1n, 2n] } })).toEqual({ executionIds: [1, 2] });
    expect(choose({ case: 'byJobs', value: { jobs: [{ ref: { case: 'id', value: 3n } }] } })).toEqual({
      jobs: [{ id: 3 }],
    });
    expect(choose({ case: 'all', value: {} })).toEqual({ namespace: 'default' });
    expect(choose({ case: 'byBackfill', value: 7n })).toEqual({ backfillId: 7 });
    expect(refusedFields(() => choose(undefined))).toEqual(['executions']);
    expect(refusedFields(() => choose({ case: 'bySelector', value: {} }))).toEqual(['by_selector']);
    expect(refusedFields(() => choose({ case: 'byJobs', value: { jobs: [{}] } }))).toEqual([
      'by_jobs.jobs[0]',
    ]);
  });

  it('follow a stream unless the call says no, from the lowest level', () => {
    const source = { case: 'executionId', value: 9n } as const;
    const follow = (value?: boolean) =>
      streamRequestFromMessage(create(ExecutionServiceStreamRequestSchema, { source, follow: value }));
    expect(follow()).toMatchObject({ source: { executionId: 9 }, follow: true, minLevel: 'DEBUG' });
    expect(follow().tail).toBeUndefined();
    expect(follow(false).follow).toBe(false);
  });

  it('list a log oldest first', () => {
    const list = create(ExecutionServiceListLogsRequestSchema, { executionId: 9n });
    expect(listLogsFromMessage(list)).toEqual({
      executionId: 9,
      afterSeq: 0,
      minLevel: 'DEBUG',
      attempt: 0,
      newestFirst: false,
    });
  });
});
