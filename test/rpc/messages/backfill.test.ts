import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { OverlapPolicy } from '../../../gen/carillon/v1/job_pb.js';
import { JobServiceBackfillRequestSchema } from '../../../gen/carillon/v1/job_service_pb.js';
import { DomainError } from '../../../src/domain/errors.ts';
import { validator } from '../../../src/rpc/interceptors/validation.ts';
import { backfillFromMessage } from '../../../src/rpc/messages/job-requests.ts';

const instant = (iso: string) => timestampFromDate(new Date(iso));
const range = { startTime: instant('2026-02-01T00:00:00Z'), endTime: instant('2026-02-02T00:00:00Z') };
const job = { ref: { case: 'id', value: 7n } } as const;

type Init = Omit<MessageInitShape<typeof JobServiceBackfillRequestSchema>, '$typeName'>;

const request = (init: Init) => create(JobServiceBackfillRequestSchema, { job, ...range, ...init });

const backfill = (init: Init) => backfillFromMessage(request(init));

/** The refusal of a conversion as `field: description`. */
function refusal(convert: () => unknown): string | undefined {
  try {
    convert();
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    return (error as DomainError).message;
  }
  return undefined;
}

describe('Backfill', () => {
  it('runs its fire times one after the other unless the call says otherwise', () => {
    expect(backfill({})).toEqual({
      job: { id: 7 },
      startAt: new Date('2026-02-01T00:00:00Z'),
      endAt: new Date('2026-02-02T00:00:00Z'),
      overlap: 'BUFFER_ALL',
      dryRun: false,
      requestId: '',
      requestDigest: '',
    });
  });

  it.each([
    [OverlapPolicy.SKIP, 'SKIP'],
    [OverlapPolicy.BUFFER_ONE, 'BUFFER_ONE'],
    [OverlapPolicy.BUFFER_ALL, 'BUFFER_ALL'],
    [OverlapPolicy.CANCEL_OTHER, 'CANCEL_OTHER'],
    [OverlapPolicy.ALLOW, 'ALLOW'],
  ] as const)('takes the overlap policy %i as %s', (overlap, policy) => {
    expect(backfill({ overlap }).overlap).toBe(policy);
  });

  it.each(['2026-02-01T00:00:00.000Z', '2026-01-31T23:59:59.999Z'])(
    'refuses a range that ends at %s, before or at its start',
    (iso) => {
      expect(refusal(() => backfill({ endTime: instant(iso) }))).toBe(
        'end_time: must be later than start_time, which is 2026-02-01T00:00:00.000Z',
      );
    },
  );

  it('takes a range of one millisecond', () => {
    const { startAt, endAt } = backfill({ endTime: instant('2026-02-01T00:00:00.001Z') });
    expect(endAt.getTime() - startAt.getTime()).toBe(1);
  });

  it.each([
    ['job', { job: undefined }],
    ['start_time', { startTime: undefined }],
    ['end_time', { endTime: undefined }],
  ])('requires %s', (field, init) => {
    expect(refusal(() => backfill(init))).toBe(`${field}: must be set`);
    const { violations } = validator.validate(JobServiceBackfillRequestSchema, request(init));
    expect(violations?.map(({ ruleId }) => ruleId)).toEqual(['required']);
  });

  it('has a digest that tells a dry run and another range from the same request', () => {
    const digest = (init: Init) => backfill({ requestId: 'r', ...init }).requestDigest;
    expect(digest({})).toMatch(/^[0-9a-f]{64}$/);
    expect(digest({ requestId: 's' })).toBe(digest({}));
    const others = [{ dryRun: true }, { endTime: instant('2026-02-03T00:00:00Z') }, { overlap: 5 }];
    expect(new Set([{}, ...others].map(digest)).size).toBe(4);
  });
});
