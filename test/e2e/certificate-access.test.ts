/** Client certificates as proof of who calls: a token names what the certificate carries. */
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { expect, it } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { firstListener, type Identity } from '../support/identities.ts';
import { useInstances } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import {
  keptCaller,
  revocationList,
  revokedCaller,
  revokingAuthority,
} from '../support/revoked-identities.ts';
import { useMountedTls } from '../support/tls-files.ts';

const database = useTestDatabase();
const instances = useInstances();
const mountTls = useMountedTls();

it('prove who calls on both ports, until the token of their name is revoked', async () => {
  const { certFile, keyFile, clientCaFile, clientCrlFile } = await mountTls({
    ...firstListener,
    ca: revokingAuthority,
    crl: revocationList,
  });
  const instance = await instances.start({
    databaseUrl: database.url,
    env: {
      CARILLON_ACCESS_CONTROL: 'true',
      CARILLON_TLS_CERT_FILE: certFile,
      CARILLON_TLS_KEY_FILE: keyFile,
      CARILLON_TLS_CLIENT_CA_FILE: clientCaFile!,
      CARILLON_TLS_CLIENT_CRL_FILE: clientCrlFile!,
    },
  });
  const trust = { ca: firstListener.cert };
  const grpc = (identity?: Identity) =>
    createGrpcTransport({ baseUrl: instance.grpc, nodeOptions: { ...trust, ...identity } });
  const http = (identity?: Identity) =>
    createConnectTransport({
      baseUrl: instance.http,
      httpVersion: '1.1',
      nodeOptions: { ...trust, ...identity },
    });

  const admin = createClient(AdminService, grpc());
  const asRoot = { headers: { authorization: `Bearer ${instance.firstToken}` } };
  const certificateName = 'spiffe://example.org/worker';
  const wish = { name: 'reports', certificateName, grants: [{ namespace: 'default', role: Role.EDITOR }] };
  const refusal = { code: Code.Unauthenticated };
  const callers = [grpc(keptCaller), http(keptCaller)].map((transport) =>
    createClient(JobService, transport),
  );
  for (const { list } of callers) await expect(list({})).rejects.toMatchObject(refusal);

  const { token, text } = await admin.createToken({ token: wish }, asRoot);
  expect([text, token?.prefix]).toEqual(['', '']);
  await expect(admin.createToken({ token: wish }, asRoot)).rejects.toMatchObject({
    code: Code.AlreadyExists,
  });
  const target = { kind: { case: 'worker' as const, value: { queue: 'q' } } };
  for (const [i, caller] of callers.entries())
    await caller.add({ job: { key: { name: `job ${i}` }, target } });
  const { events } = await admin.listAuditEvents({ filter: { objectType: 'job' } }, asRoot);
  expect(events.map(({ actor }) => actor)).toEqual(Array(2).fill(`reports (token ${token?.id})`));
  for (const transport of [grpc(), http()]) {
    await expect(createClient(JobService, transport).list({})).rejects.toMatchObject(refusal);
  }
  // The same name, on a certificate that is revoked: cut off, whatever else is shown.
  for (const transport of [grpc(revokedCaller), http(revokedCaller)]) {
    const error = await createClient(JobService, transport)
      .list({}, asRoot)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConnectError);
    expect((error as ConnectError).code).not.toBe(Code.Unauthenticated);
  }
  await awaitThat('the log says so', () => instance.log.includes('CERT_REVOKED'));
  // Whoever shows a bearer token is judged by it.
  const wrong = { headers: { authorization: 'Bearer wrong' } };
  await expect(callers[0]!.list({}, wrong)).rejects.toMatchObject(refusal);

  await admin.revokeToken({ tokenId: token!.id }, asRoot);
  for (const { list } of callers) {
    await awaitThat('the certificate is refused', () =>
      list({}).then(
        () => undefined,
        (error: { code: Code }) => error.code === Code.Unauthenticated || undefined,
      ),
    );
  }
});
