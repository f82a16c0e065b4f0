/** Client certificates from a put of the secret to a gRPC callee that asks who calls. One instance. */
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { SecretKind } from '../../gen/carillon/v1/secret_pb.js';
import { startGrpcCallee } from '../engine/targets/grpc/callee.ts';
import { localhostCertificate, testKey } from '../engine/targets/http/certificates.ts';
import {
  bundleOf,
  clientAuthority,
  firstBundle,
  firstCertificate,
  firstKey,
  secondBundle,
  secondKey,
} from '../engine/targets/http/client-certificates.ts';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';

describe('a client certificate', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({
    databaseUrl: database.url,
    env: { CARILLON_SECRET_KEY: Buffer.alloc(32, 5).toString('base64'), CARILLON_LOG_LEVEL: 'debug' },
  }));
  const kind = SecretKind.CLIENT_CERTIFICATE;
  /** What came back, as text. */
  const told: string[] = [];
  let carillon: InstanceProcess;

  beforeEach(() => {
    told.length = 0;
    carillon = instance();
  });
  afterEach(() => {
    // Neither the debug log nor anything that was answered shows a line of a key.
    told.push(carillon.log);
    for (const line of [firstKey, secondKey].join('').split('\n')) {
      if (line.length > 40) expect(told.join()).not.toContain(line);
    }
    expect(told.join()).not.toContain('PRIVATE KEY');
  });

  const note = (reply: unknown): void => {
    told.push(JSON.stringify(reply, (_, value) => (typeof value === 'bigint' ? String(value) : value)));
  };

  const trigger = async (name: string) => {
    const { execution } = await carillon.jobs.trigger({ job: { ref: { case: 'key', value: { name } } } });
    return awaitThat('it is over', async () => {
      const got = await carillon.executions.get({ executionId: execution!.id });
      note(got);
      return got.execution?.finishTime ? got.execution : undefined;
    });
  };

  it('is shown to the callee, and the next one from its put on', async () => {
    const callers: unknown[] = [];
    const tls = { key: testKey, cert: localhostCertificate, clientCa: clientAuthority };
    const callee = await startGrpcCallee(
      (call) => {
        callers.push(call.getAuthContext()?.sslPeerCertificate?.subject.CN);
        call.end();
      },
      { tls },
    );
    const put = await carillon.admin.putSecret({ name: 'callee', kind, value: firstBundle });
    note(put);
    const expireTime = { seconds: BigInt(Date.UTC(2120, 0) / 1_000) };
    expect(put).toMatchObject({ created: true, value: '', secret: { kind, expireTime } });
    const value = {
      address: `localhost:${callee.port}`,
      tls: { enabled: true, caPem: localhostCertificate, clientCertificateSecretName: 'callee' },
    };
    const added = await carillon.jobs.add({
      job: manualJob('report', '', { target: { kind: { case: 'grpc', value } } }),
    });
    note(added);
    expect(added.job?.target?.kind.value).toMatchObject({ tls: { clientCertificateSecretName: 'callee' } });
    expect(await trigger('report')).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 1 });
    note(await carillon.admin.putSecret({ name: 'callee', value: secondBundle }));
    expect(await trigger('report')).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 1 });
    expect(callers).toEqual(['first client', 'second client']);

    const refusal = await carillon.admin.deleteSecret({ name: 'callee' }).catch(ConnectError.from);
    expect(refusal).toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: 'secret default/callee is used by default/default/report',
    });
  });

  it.each([
    [
      'the key of another certificate',
      bundleOf(firstCertificate, secondKey),
      'value: the private key is not',
    ],
    ['more than 65,536 characters', firstBundle.repeat(60), 'value: '],
    ['a value that is none', firstKey.replace('BEGIN', 'BEGUN'), 'value: must hold a certificate'],
  ])('is refused with %s, which neither the reply nor the log repeats', async (_, value, message) => {
    const refusal = await carillon.admin.putSecret({ name: 'odd', kind, value }).catch(ConnectError.from);
    told.push(String(refusal));
    note(refusal);
    expect(refusal).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining(message),
    });
  });
});
