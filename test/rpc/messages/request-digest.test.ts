import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  JobServiceAddRequestSchema,
  JobServiceTriggerRequestSchema,
} from '../../../gen/carillon/v1/job_service_pb.js';
import { digestRequest } from '../../../src/rpc/messages/request-digest.ts';

const target = { kind: { case: 'http', value: { url: 'http://a' } } } as const;

describe('the digest of a request', () => {
  const digest = (init: MessageInitShape<typeof JobServiceAddRequestSchema>): string =>
    digestRequest(
      JobServiceAddRequestSchema,
      create(JobServiceAddRequestSchema, { requestId: 'r', ...init }),
    );
  const job = { key: { name: 'a' }, target, labels: { x: '1', y: '2', 10: 'z' } };

  it('does not depend on the request_id', () => {
    expect(digest({ job, requestId: 'one' })).toBe(digest({ job, requestId: 'two' }));
  });

  it('does not depend on the order of maps and objects', () => {
    const one = { ...job, parameters: { object: { a: 1, b: { c: [1, { d: 2, e: 3 }] } } } };
    const two = {
      ...job,
      labels: { y: '2', 10: 'z', x: '1' },
      parameters: { object: { b: { c: [1, { e: 3, d: 2 }] }, a: 1 } },
    };
    expect(digest({ job: one })).toBe(digest({ job: two }));
  });

  it('does depend on everything else', () => {
    const digests = [
      digest({ job }),
      digest({ job, replace: true }),
      digest({ job: { ...job, description: 'x' } }),
      digest({ job: { ...job, labels: { x: '2', y: '1' } } }),
      digest({ job: { ...job, parameters: {} } }),
      digest({ job: { ...job, parameters: { object: { a: [1, 2] } } } }),
      digest({ job: { ...job, parameters: { object: { a: [2, 1] } } } }),
      digest({ job: { ...job, parameters: { object: JSON.parse('{"__proto__":{"a":1}}') } } }),
    ];
    expect(new Set(digests).size).toBe(digests.length);
  });

  it('is the same for a request that came over the wire', () => {
    const request = create(JobServiceAddRequestSchema, { job, requestId: 'r' });
    const received = fromBinary(JobServiceAddRequestSchema, toBinary(JobServiceAddRequestSchema, request));
    expect(digestRequest(JobServiceAddRequestSchema, received)).toBe(digest({ job }));
  });

  it('tells the methods apart', () => {
    const trigger = create(JobServiceTriggerRequestSchema, { requestId: 'r' });
    expect(digestRequest(JobServiceTriggerRequestSchema, trigger)).not.toBe(digest({}));
  });
});
