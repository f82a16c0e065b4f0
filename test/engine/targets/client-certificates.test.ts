/** Callees that ask who calls, with real TLS: what they are shown, and what becomes of an attempt that they refuse. */
import { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import type { TlsOptions } from '../../../src/domain/job.ts';
import {
  type ClientCertificate,
  certificateFromText,
} from '../../../src/engine/secrets/client-certificate.ts';
import type { FindClientCertificate } from '../../../src/engine/secrets/client-certificates.ts';
import type { DeliveryResult } from '../../../src/engine/targets/target.ts';
import { createGrpcClient, grpcTarget } from './grpc/attempt.ts';
import { type Call, startGrpcCallee } from './grpc/callee.ts';
import { recordedContext, sampleDelivery } from './http/attempt.ts';
import { localhostCertificate, testKey } from './http/certificates.ts';
import { clientAuthority, firstBundle, foreignBundle, secondBundle } from './http/client-certificates.ts';
import { createSocketClient, socketTarget, startSocketCallee } from './socket/attempt.ts';

/** A callee, and the calls of one client to it. */
type Callee = {
  /** Who called, in the order of the calls; undefined is somebody who did not say. */
  readonly callers: (string | undefined)[];
  /** The connections that it has had. */
  readonly connections: () => number;
  deliver(tls: Partial<TlsOptions>): Promise<DeliveryResult>;
};

const server = { key: testKey, cert: localhostCertificate };

/** Starts a callee that takes only clients of the authority. */
type Start = (find: FindClientCertificate | undefined) => Promise<Callee>;

const startGrpc: Start = async (findClientCertificate) => {
  const callers: Callee['callers'] = [];
  const ports = new Set<string>();
  const onCall = (call: Call): void => {
    callers.push(call.getAuthContext()?.sslPeerCertificate?.subject.CN as string | undefined);
    ports.add(call.getPeer());
    call.end();
  };
  const { port } = await startGrpcCallee(onCall, { tls: { ...server, clientCa: clientAuthority } });
  const client = createGrpcClient({ findClientCertificate });
  return {
    callers,
    connections: () => ports.size,
    deliver: (tls) => {
      const target = grpcTarget(`localhost:${port}`, { tls: { caPem: localhostCertificate, ...tls } });
      return client.deliver(target, sampleDelivery, recordedContext());
    },
  };
};

const startSocket: Start = async (findClientCertificate) => {
  const callers: Callee['callers'] = [];
  const callee = await startSocketCallee(
    (socket) => {
      if (socket instanceof TLSSocket)
        callers.push(socket.getPeerCertificate().subject?.CN as string | undefined);
      socket.end('{"state": "SUCCEEDED"}\n');
    },
    { ...server, ca: clientAuthority, requestCert: true, rejectUnauthorized: true },
  );
  const client = createSocketClient({ findClientCertificate });
  return {
    callers,
    connections: () => callee.sockets.length,
    deliver: (tls) => {
      const options = { host: 'localhost', tls: { caPem: localhostCertificate, ...tls } };
      return client.deliver(socketTarget(callee.port, options), sampleDelivery, recordedContext());
    },
  };
};

const certificate = (bundle: string): ClientCertificate => certificateFromText(bundle, new Date(), 'value');

/** Finds these certificates, by the names of their secrets in the namespace of the sample. */
const having =
  (certificates: Readonly<Record<string, ClientCertificate>>): FindClientCertificate =>
  async ({ namespace, name }) => {
    const found = namespace === sampleDelivery.jobKey.namespace ? certificates[name] : undefined;
    return found ? { certificate: found } : { missing: 'secret' };
  };

const shown = { clientCertificateSecretName: 'shown' };

const callees: readonly [string, Start][] = [
  ['gRPC', startGrpc],
  ['socket', startSocket],
];

it.each(callees)('a %s callee is shown the certificate that its target names', async (_, start) => {
  const callee = await start(having({ shown: certificate(firstBundle) }));
  expect(await callee.deliver(shown)).toMatchObject({ outcome: 'SUCCEEDED' });
  expect(callee.callers).toEqual(['first client']);
});

it.each(callees)(
  'a %s callee that asks for one refuses who shows none or another authority’s',
  async (_, start) => {
    const callee = await start(having({ shown: certificate(foreignBundle) }));
    for (const [tls, alert] of [
      [{}, 'callee asks for a client certificate'],
      [shown, 'client certificate not accepted by callee'],
    ] as const) {
      const { outcome, message } = await callee.deliver(tls);
      expect(outcome).toBe('FAILED');
      // What was on its way to the callee may break the connection before the alert is read.
      if (!/^connection (reset|closed) by callee/.test(message)) expect(message).toBe(alert);
    }
    expect(callee.callers).toEqual([]);
  },
);

it.each(callees)('a %s callee is not shown it before its own certificate is accepted', async (_, start) => {
  const callee = await start(having({ shown: certificate(firstBundle) }));
  const result = await callee.deliver({ ...shown, caPem: clientAuthority });
  expect(result).toMatchObject({ outcome: 'FAILED', retryable: false });
  expect(result.message).toMatch(/^certificate not accepted/);
  expect(callee.callers).toEqual([]);
});

it.each(callees)(
  'a %s callee is shown a changed certificate, on a connection of its own',
  async (_, start) => {
    const certificates = { shown: certificate(firstBundle) };
    const callee = await start(having(certificates));
    await callee.deliver(shown);
    certificates.shown = certificate(secondBundle);
    await callee.deliver(shown);
    certificates.shown = certificate(firstBundle);
    await callee.deliver(shown);
    expect(callee.callers).toEqual(['first client', 'second client', 'first client']);
  },
);

it('shares the connections of a gRPC callee among attempts that show the same certificate, and no others', async () => {
  const certificates = { shown: certificate(firstBundle), other: certificate(secondBundle) };
  const callee = await startGrpc(having(certificates));
  await callee.deliver(shown);
  // Read anew, as after some seconds.
  certificates.shown = certificate(firstBundle);
  await callee.deliver(shown);
  expect(callee.connections()).toBe(1);
  await callee.deliver({ clientCertificateSecretName: 'other' });
  expect(callee.callers).toEqual(['first client', 'first client', 'second client']);
  expect(callee.connections()).toBe(2);
});

it.each(callees)(
  'an attempt of a %s target without its secret fails for good, without a call',
  async (_, start) => {
    const message = 'the client certificate "shown" does not exist; put it, or name another';
    const missing = { outcome: 'FAILED', reason: 'INVALID_JOB', message, retryable: false };
    for (const find of [undefined, having({})]) {
      const callee = await start(find);
      expect(await callee.deliver(shown)).toEqual(missing);
      expect(callee.connections()).toBe(0);
    }
  },
);

it.each(callees)(
  'an attempt of a %s target is tried again where its secret cannot be read here',
  async (_, start) => {
    const locked = await start(async () => ({ missing: 'key' }));
    expect(await locked.deliver(shown)).toMatchObject({
      ...{ outcome: 'FAILED', reason: 'TARGET_ERROR', retryable: true },
      message: expect.stringContaining('cannot be decrypted here; CARILLON_SECRET_KEY'),
    });
    const away = await start(() => Promise.reject(new Error('no database')));
    expect(await away.deliver(shown)).toMatchObject({
      message: 'the client certificate could not be read from the database',
      retryable: true,
    });
  },
);
