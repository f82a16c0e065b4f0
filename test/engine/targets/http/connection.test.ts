import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { type Connector, createConnector } from '../../../../src/engine/targets/http/connection.ts';
import { EgressPolicy } from '../../../../src/platform/egress-policy.ts';
import { addressRangeFrom } from '../../../../src/platform/ip-address.ts';
import { OwnPorts } from '../../../../src/platform/own-ports.ts';
import { startCallee } from './callee.ts';
import { localhostCertificate, testKey } from './certificates.ts';

const connectTo = (connector: Connector, port: string): Promise<TLSSocket> =>
  new Promise((resolve, reject) =>
    connector({ hostname: 'localhost', host: 'localhost', protocol: 'https:', port }, (error, socket) =>
      error ? reject(error) : resolve(socket as TLSSocket),
    ),
  );

it.each([
  ['another', 1],
  ['the same', 0],
])(
  'TLS sessions go on with a callee while this instance listens on %s port elsewhere',
  async (_which, by) => {
    const callee = await startCallee((_request, response) => response.end(), {
      key: testKey,
      cert: localhostCertificate,
    });
    const { port } = new URL(callee.origin);
    const own = new OwnPorts();
    own.addListener('203.0.113.9', Number(port) - by);
    const loopback = { kind: 'range', range: addressRangeFrom('127.0.0.0/8')! } as const;
    const egress = new EgressPolicy([loopback], own);
    const connector = createConnector({ egress, ca: localhostCertificate, timeoutMs: 5_000 });
    const first = await connectTo(connector, port);
    // Held here: the connector lets a session go when memory is short.
    const sessions = await once(first, 'session');
    first.destroy();
    const second = await connectTo(connector, port);
    expect([sessions.length, second.isSessionReused()]).toEqual([1, true]);
    second.destroy();
  },
);
