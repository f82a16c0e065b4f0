import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { TargetSchema } from '../../../gen/carillon/v1/target_pb.js';
import { DomainError } from '../../../src/domain/errors.ts';
import { targetFromMessage } from '../../../src/rpc/messages/target.ts';

type Kind = MessageInitShape<typeof TargetSchema>['kind'];

const targetOf = (kind: Kind) => targetFromMessage(create(TargetSchema, { kind }), 'job.target');

/** The fields that a message is refused for. */
function refusedFields(kind: Kind): string[] {
  try {
    targetOf(kind);
  } catch (error) {
    if (error instanceof DomainError) return error.details.violations?.map(({ field }) => field) ?? [];
  }
  return expect.unreachable();
}

describe('a target of gRPC', () => {
  it('calls TargetService.Run without TLS where it says nothing', () => {
    expect(targetOf({ case: 'grpc', value: { address: 'a:1' } })).toEqual({
      kind: 'grpc',
      address: 'a:1',
      tls: undefined,
      metadata: {},
      method: 'carillon.v1.TargetService/Run',
    });
  });
});

describe('TLS options', () => {
  it.each([
    [undefined, undefined],
    [{}, undefined],
    [{ enabled: true }, {}],
    [
      { enabled: true, serverName: 'a', caPem: 'b', clientCertificateSecretName: 'c' },
      { serverName: 'a', caPem: 'b', clientCertificateSecretName: 'c' },
    ],
  ])('%j means %j', (tls, expected) => {
    const value = { host: 'a', port: 1, tls };
    expect(targetOf({ case: 'socket', value })).toMatchObject({ tls: expected });
  });

  it.each([{ serverName: 'a' }, { caPem: 'b' }, { clientCertificateSecretName: 'c' }])(
    '%j is refused without TLS',
    (tls) => {
      expect(refusedFields({ case: 'socket', value: { host: 'a', port: 1, tls } })).toEqual([
        'job.target.socket.tls.enabled',
      ]);
      expect(refusedFields({ case: 'grpc', value: { address: 'a:1', tls } })).toEqual([
        'job.target.grpc.tls.enabled',
      ]);
    },
  );
});

it('is refused without a kind', () => {
  expect(refusedFields(undefined)).toEqual(['job.target.kind']);
});
