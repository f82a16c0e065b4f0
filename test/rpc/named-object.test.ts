import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { WorkerService } from '../../gen/carillon/v1/worker_service_pb.js';
import { auditedCallsOf } from '../../src/rpc/audited-methods.ts';
import { type NamedObject, namedObjectOf } from '../../src/rpc/named-object.ts';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';

const named = <Desc extends DescMessage>(
  desc: { readonly input: Desc },
  request: MessageInitShape<Desc>,
): NamedObject => namedObjectOf({ desc } as never, create(desc.input, request));

const key = { namespace: 'shop', group: 'g', name: 'report' };
const job = { type: 'job', name: 'shop/g/report' };

describe('a request names', () => {
  it.each<[string, NamedObject, NamedObject]>([
    [
      'a job by its key',
      named(JobService.method.trigger, { job: { ref: { case: 'key', value: key } } }),
      { namespace: 'shop', object: job },
    ],
    [
      'a job by its id',
      named(JobService.method.trigger, { job: { ref: { case: 'id', value: 7n } } }),
      { object: { type: 'job', id: 7 } },
    ],
    [
      'a job that is to be made',
      named(JobService.method.add, { job: { key: { name: 'x' } } }),
      { namespace: 'default', object: { type: 'job', name: 'default/default/x' } },
    ],
    [
      'a job that is to be changed, by the id before the key',
      named(JobService.method.update, { job: { id: 9n, key } }),
      { object: { type: 'job', id: 9 } },
    ],
    [
      'nothing by an empty key',
      named(JobService.method.add, { job: { key: {} } }),
      { object: { type: 'job' } },
    ],
    ['nothing at all', named(JobService.method.delete, {}), { object: { type: 'job' } }],
    [
      'many jobs by a selector',
      named(JobService.method.pause, {
        jobs: { case: 'selector', value: { namespace: 'shop', labels: { a: 'b' } } },
      }),
      {
        namespace: 'shop',
        object: { type: 'job' },
        details: { selector: { namespace: 'shop', labels: { a: 'b' } } },
      },
    ],
    [
      'one execution',
      named(ExecutionService.method.cancel, {
        executions: { case: 'byIds', value: { executionIds: [5n] } },
      }),
      { object: { type: 'execution', id: 5 } },
    ],
    [
      'no single one of several executions',
      named(ExecutionService.method.cancel, {
        executions: { case: 'byIds', value: { executionIds: [5n, 6n] } },
      }),
      { object: { type: 'execution' } },
    ],
    [
      'the one job of a list',
      named(ExecutionService.method.cancel, {
        executions: { case: 'byJobs', value: { jobs: [{ ref: { case: 'key', value: key } }] } },
      }),
      { namespace: 'shop', object: job },
    ],
    [
      'a backfill',
      named(ExecutionService.method.cancel, { executions: { case: 'byBackfill', value: 8n } }),
      { object: { type: 'backfill', id: 8 } },
    ],
    [
      'all jobs of a namespace',
      named(ExecutionService.method.cancel, {
        executions: { case: 'all', value: { namespace: 'shop' } },
      }),
      { namespace: 'shop', object: { type: 'execution' } },
    ],
    [
      'an execution to read',
      named(ExecutionService.method.get, { executionId: 4n }),
      { object: { type: 'execution', id: 4 } },
    ],
    [
      'a calendar that is to be put',
      named(AdminService.method.putCalendar, { calendar: { name: 'holidays' } }),
      { namespace: 'default', object: { type: 'calendar', name: 'holidays' } },
    ],
    [
      'a secret',
      named(AdminService.method.putSecret, { namespace: 'shop', name: 'hook', value: 'hidden' }),
      { namespace: 'shop', object: { type: 'secret', name: 'hook' } },
    ],
    [
      'a queue',
      named(AdminService.method.putQueue, { queue: { namespace: 'shop', name: 'mail' } }),
      { namespace: 'shop', object: { type: 'queue', name: 'mail' } },
    ],
    [
      'a namespace',
      named(AdminService.method.updateNamespace, { namespace: { name: 'shop' } }),
      { namespace: 'shop', object: { type: 'namespace', name: 'shop' } },
    ],
    [
      'a worker',
      named(WorkerService.method.connect, { message: { case: 'hello', value: { workerId: 'w' } } }),
      { namespace: 'default', object: { type: 'worker', name: 'w' } },
    ],
  ])('%s', (_, found, expected) => {
    expect(found).toEqual(expected);
  });

  it('no more than 200 characters of anything, and no id that is none', () => {
    const long = 'x'.repeat(100_000);
    const { namespace, object } = named(JobService.method.trigger, {
      job: { ref: { case: 'key', value: { namespace: long, group: long, name: long } } },
    });
    expect(namespace).toHaveLength(201);
    expect(object.name).toHaveLength(605);
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`${n}${long}`, long]));
    const { details } = named(JobService.method.pause, { jobs: { case: 'selector', value: { labels } } });
    expect(JSON.stringify(details).length).toBeLessThan(5_000);
    for (const id of [0n, -1n, 2n ** 60n]) {
      expect(named(ExecutionService.method.get, { executionId: id })).toEqual({
        object: { type: 'execution' },
      });
    }
  });
});

it('audits every method that changes something, but for what workers and callees report', () => {
  const methods = createServices(new FakeOperations()).flatMap((service) => service.methods);
  const calls = Object.fromEntries(methods.map((method) => [method.name, auditedCallsOf(method)]));
  const named = (kind: string): string[] =>
    Object.keys(calls)
      .filter((name) => calls[name] === kind)
      .map((name) => name.replace('carillon.v1.', ''));
  expect(named('none')).toEqual([
    'AttemptService/AppendLogs',
    'AttemptService/Heartbeat',
    'AttemptService/Complete',
  ]);
  expect(named('refused')).toEqual(['WorkerService/Connect']);
  const reads = /\/(Get|List|Preview|Stream)/;
  expect(named('denied').filter((name) => !reads.test(name))).toEqual([]);
  expect(named('all').filter((name) => reads.test(name))).toEqual([]);
});
