import { Code } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { ErrorReasonSchema } from '../../gen/carillon/v1/error_reason_pb.js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.js';
import { DomainError, type ErrorReason } from '../../src/domain/errors.ts';
import {
  codeOfReason,
  connectErrorFromDescription,
  describeError,
  nameOfCode,
} from '../../src/rpc/errors.ts';
import { grpcStatusFromDescription } from '../../src/rpc/grpc-call.ts';

const reasons = Object.keys(codeOfReason) as ErrorReason[];

/** The error table of the house style, word for word. */
const table: Readonly<Record<string, readonly ErrorReason[]>> = {
  NOT_FOUND: [
    'JOB_NOT_FOUND',
    'EXECUTION_NOT_FOUND',
    'CALENDAR_NOT_FOUND',
    'SECRET_NOT_FOUND',
    'NAMESPACE_NOT_FOUND',
    'TOKEN_NOT_FOUND',
  ],
  ALREADY_EXISTS: [
    'JOB_ALREADY_EXISTS',
    'NAMESPACE_ALREADY_EXISTS',
    'TOKEN_ALREADY_EXISTS',
    'REQUEST_ID_REUSED',
  ],
  PERMISSION_DENIED: ['PERMISSION_DENIED'],
  INVALID_ARGUMENT: ['INVALID_ARGUMENT', 'INVALID_SCHEDULE', 'INVALID_PAGE_TOKEN'],
  FAILED_PRECONDITION: [
    'JOB_FINISHED',
    'JOB_PAUSED',
    'JOB_STATE_CONFLICT',
    'CALENDAR_IN_USE',
    'SECRET_IN_USE',
    'SECRET_KEY_MISSING',
    'ATTEMPT_ENDED',
    'ATTEMPT_NOT_ACCEPTED',
  ],
  ABORTED: ['ETAG_MISMATCH', 'CONCURRENT_CHANGE'],
  RESOURCE_EXHAUSTED: ['QUOTA_EXCEEDED'],
  OUT_OF_RANGE: ['CURSOR_EXPIRED', 'LOG_OFFSET_TOO_HIGH'],
  UNAUTHENTICATED: ['UNAUTHENTICATED'],
  UNAVAILABLE: ['UNAVAILABLE'],
  INTERNAL: ['INTERNAL'],
  DEADLINE_EXCEEDED: ['DEADLINE_EXCEEDED'],
  CANCELLED: ['CANCELED'],
  UNIMPLEMENTED: ['UNIMPLEMENTED'],
};

describe('the error table', () => {
  it.each(Object.entries(table))('gives %s to %j', (code, expected) => {
    expect(reasons.filter((reason) => nameOfCode(codeOfReason[reason]) === code)).toEqual(expected);
  });

  it('has every reason of the proto and no other', () => {
    const inProto = ErrorReasonSchema.values.map(({ name }) => name.replace('ERROR_REASON_', ''));
    expect(new Set(reasons)).toEqual(new Set(inProto.filter((name) => name !== 'UNSPECIFIED')));
  });

  it('names every code as gRPC does', () => {
    const codes = Object.values(Code).filter((code) => typeof code === 'number');
    expect(codes.map(nameOfCode)).not.toContain(undefined);
    expect(nameOfCode(undefined)).toBe('OK');
  });
});

describe('describing errors', () => {
  it.each([
    ['job', 'carillon.v1.Job'],
    ['execution', 'carillon.v1.Execution'],
    ['calendar', 'carillon.v1.Calendar'],
    ['secret', 'carillon.v1.Secret'],
  ] as const)('names a %s by the type of its message, %s', (type, resourceType) => {
    const missing = new DomainError('JOB_NOT_FOUND', 'gone', { resource: { type, name: 'a/b' } });
    const error = connectErrorFromDescription(describeError(missing, 'r-1'));
    expect(error.findDetails(ResourceInfoSchema)).toMatchObject([{ resourceType, resourceName: 'a/b' }]);
  });

  it.each([new TypeError('secret'), 'secret', null, undefined, new DomainError('INTERNAL', 'secret')])(
    'tells nothing of %s but the request id',
    (failure) => {
      const described = describeError(failure, 'r-1');
      expect(described).toMatchObject({ reason: 'INTERNAL', code: Code.Internal });
      expect(JSON.stringify(described.details.map(({ value }) => value)) + described.message).not.toContain(
        'secret',
      );
      expect(described.message).toContain('r-1');
    },
  );

  it('adds RetryInfo to every UNAVAILABLE', () => {
    const error = connectErrorFromDescription(describeError(new DomainError('UNAVAILABLE', 'x'), ''));
    expect(error.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
  });

  it.each(reasons.filter((reason) => reason !== 'INTERNAL'))(
    'always carries ErrorInfo with the domain carillon: %s',
    (reason) => {
      const error = connectErrorFromDescription(describeError(new DomainError(reason, 'x'), ''));
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason, domain: 'carillon' }]);
    },
  );

  it('keeps what it sends within the 8 KiB of headers that some clients take', () => {
    const long = '夜'.repeat(5_000);
    const violations = Array.from({ length: 200 }, (_, i) => ({
      field: `job.labels[${i}]`,
      description: long,
    }));
    const metadata = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`key${i}`, 'v'.repeat(5_000)]));
    const described = describeError(
      new DomainError('INVALID_ARGUMENT', long, {
        metadata,
        violations,
        resource: { type: 'job', name: long },
        precondition: { type: long, subject: long, description: long },
        quota: { subject: long, description: long },
        retryAfterMs: 1,
      }),
      '',
    );
    const status = grpcStatusFromDescription(described);
    const headers = status.metadata.toHttp2Headers();
    const bytes = String(headers['grpc-status-details-bin']).length + encodeURI(status.details).length;
    expect(bytes).toBeLessThan(7_900);
    const [badRequest] = connectErrorFromDescription(described).findDetails(BadRequestSchema);
    expect(badRequest?.fieldViolations.at(-1)?.description).toMatch(/^\d+ more violations$/);
  });

  it('never writes half of a surrogate pair, on which encoders throw', () => {
    const text = `${'x'.repeat(445)}🌙🌙`;
    const described = describeError(
      new DomainError('INVALID_ARGUMENT', text, { metadata: { '\ud800': '\udfff' } }),
      '',
    );
    expect(described.message.isWellFormed()).toBe(true);
    expect(() => encodeURI(described.message)).not.toThrow();
    expect(() => grpcStatusFromDescription(described)).not.toThrow();
  });

  it('describes the same to both servers', () => {
    const error = new DomainError('JOB_PAUSED', 'paused', { resource: { type: 'job', name: 'a/b/c' } });
    const described = describeError(error, '');
    const status = grpcStatusFromDescription(described);
    const connectError = connectErrorFromDescription(described);
    expect(status.code).toBe(connectError.code);
    expect(status.details).toBe(connectError.rawMessage);
    expect(status.metadata.get('grpc-status-details-bin')).toHaveLength(1);
  });
});
