import { create } from '@bufbuild/protobuf';
import { Command, CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { JobSchema } from '../../gen/carillon/v1/job_pb.js';
import { jobProperties } from '../../src/cli/job-lines.ts';
import { declareTargetOptions, type TargetOptions, targetFrom } from '../../src/cli/target-options.ts';

/** The target of a command line. */
function targetOf(...args: string[]) {
  const command = declareTargetOptions(new Command('add'))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  command.parse(args, { from: 'user' });
  return targetFrom(command.opts<TargetOptions>(), command);
}

/** Why a command line is refused. */
function refusalOf(...args: string[]): string {
  try {
    targetOf(...args);
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
  }
  return expect.unreachable();
}

/** A target as `job get` shows it. */
const shown = (target: ReturnType<typeof targetOf>): string | undefined =>
  new Map(jobProperties(create(JobSchema, { target }))).get('target');

describe('a target on the command line', () => {
  it.each([
    [['--url', 'http://a/', '--header', 'X-A: b'], 'POST http://a/'],
    [['--url', 'http://a/', '--signing-secret', 'hook'], 'POST http://a/ signed with hook'],
    [
      ['--url', 'http://a/', '--secret-header', 'Authorization=crm', '--secret-header', 'X-Key=a=b'],
      'POST http://a/ with Authorization of crm with X-Key of a=b',
    ],
    [['--grpc', 'callee.example:50051'], 'grpc callee.example:50051'],
    [['--grpc', 'a:1', '--grpc-secret-metadata', 'x-key=crm'], 'grpc a:1 with x-key of crm'],
    [
      ['--grpc', '[::1]:50051', '--grpc-method', 'acme.Jobs/Run', '--tls'],
      'grpc [::1]:50051 acme.Jobs/Run tls',
    ],
    [['--socket', 'callee.example:9000'], 'socket callee.example:9000'],
    [['--socket', '[::1]:9000', '--tls'], 'socket [::1]:9000 tls'],
    [
      ['--grpc', 'a:1', '--tls', '--tls-client-certificate', 'callee'],
      'grpc a:1 tls with certificate callee',
    ],
  ])('%j reads %s', (args, text) => {
    expect(shown(targetOf(...args))).toBe(text);
  });

  it('takes metadata and TLS options', () => {
    const metadata = ['--grpc-metadata', 'authorization=Bearer x=', '--grpc-metadata', 'x-a=b'];
    const tls = ['--tls', '--tls-server-name', 'other.example', '--tls-ca', import.meta.filename];
    tls.push('--tls-client-certificate', 'callee');
    expect(targetOf('--grpc', 'a:1', ...metadata, ...tls)).toEqual({
      kind: {
        case: 'grpc',
        value: {
          address: 'a:1',
          method: undefined,
          metadata: { authorization: 'Bearer x=', 'x-a': 'b' },
          secretMetadata: {},
          tls: {
            enabled: true,
            serverName: 'other.example',
            caPem: expect.stringContaining('takes metadata and TLS options'),
            clientCertificateSecretName: 'callee',
          },
        },
      },
    });
  });

  it.each([
    ['--url', 'http://a/'],
    ['--socket', 'a:1'],
  ])('takes the heartbeat timeout of a callee that reports later: %s', (...target) => {
    const heartbeatTimeout = { seconds: 90n, nanos: 0 };
    expect(targetOf(...target, '--heartbeat-timeout', '90s')).toMatchObject({
      kind: { value: { heartbeatTimeout } },
    });
  });

  it.each([
    [[], 'error: a job needs --url, --grpc, --socket or --queue, or --file'],
    [['--url', 'http://a', '--grpc', 'a:1'], 'error: a job has one target: --url or --grpc'],
    [['--grpc', 'a:1', '--method', 'PUT'], 'error: --method belongs to --url'],
    [['--grpc', 'a:1', '--heartbeat-timeout', '1m'], 'error: --heartbeat-timeout belongs to --url, --socket'],
    [['--url', 'http://a', '--tls'], 'error: --tls belongs to --grpc, --socket'],
    [['--grpc', 'a:1', '--tls-server-name', 'b'], 'error: --tls-server-name belongs to --tls'],
    [['--grpc', 'a:1', '--tls-client-certificate', 'b'], 'error: --tls-client-certificate belongs to --tls'],
    [['--socket', 'a:1', '--grpc-metadata', 'a=b'], 'error: --grpc-metadata belongs to --grpc'],
    [['--grpc', 'a:1', '--secret-header', 'A=b'], 'error: --secret-header belongs to --url'],
    [['--url', 'http://a', '--grpc-secret-metadata', 'a=b'], '--grpc-secret-metadata belongs to --grpc'],
    [['--url', 'http://a', '--secret-header', 'Authorization: crm'], 'It looks like name=value.'],
    [['--socket', 'a'], /It looks like callee\.example:9000 or \[::1\]:9000\./],
    [['--grpc', 'a:1', '--tls', '--tls-ca', '/nowhere/ca.pem'], /no such file/],
  ])('%j is refused', (args, why) => {
    expect(refusalOf(...args)).toMatch(why);
  });
});
