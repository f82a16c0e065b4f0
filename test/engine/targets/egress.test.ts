import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { DeliveryResult } from '../../../src/engine/targets/target.ts';
import type { EgressPolicy } from '../../../src/platform/egress-policy.ts';
import { egressOfListener, egressTo } from '../../support/egress.ts';
import * as grpc from './grpc/attempt.ts';
import { startGrpcCallee } from './grpc/callee.ts';
import * as http from './http/attempt.ts';
import { startCallee, startRawCallee } from './http/callee.ts';
import * as socket from './socket/attempt.ts';

type Options = { readonly egress: EgressPolicy; readonly lookup?: LookupFunction };

/** One attempt of each kind of target on a host, an IPv6 address in brackets. */
const kinds = {
  HTTP: (host: string, port: number, options: Options) =>
    http.deliverTo(http.httpTarget(`http://${host}:${port}/`), options),
  HTTPS: (host: string, port: number, options: Options) =>
    http.deliverTo(http.httpTarget(`https://${host}:${port}/`), options),
  gRPC: (host: string, port: number, options: Options) =>
    grpc.deliverTo(grpc.grpcTarget(`${host}:${port}`), options),
  SOCKET: (host: string, port: number, options: Options) =>
    socket.deliverTo(socket.socketTarget(port, { host: host.replace(/[[\]]/g, '') }), options),
} as const;

const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

const refused = (host: string, what: string): DeliveryResult => ({
  outcome: 'FAILED',
  reason: 'TARGET_ERROR',
  message: `${host} leads to ${what}, which may not be called; CARILLON_EGRESS_ALLOW opens it`,
  retryable: false,
});

/** A lookup that gives one answer after the other, the last one for ever. */
function lookupOf(...answers: readonly (readonly string[])[]) {
  let asked = 0;
  const lookup = ((_host, { all }, callback) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)]!;
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (all) callback(null, found);
    else callback(null, found[0]!.address, found[0]!.family);
  }) as LookupFunction;
  return { lookup, asked: () => asked };
}

const closed = egressTo();

describe.each(kindNames)('a %s target', (kind) => {
  const deliver = kinds[kind];
  /** URLs have plain addresses, whatever was written. */
  const shown = (host: string, plain: string): string => (kind.startsWith('HTTP') ? plain : host);

  it.each([
    ['127.0.0.1', '127.0.0.1', 'a loopback address'],
    ['127.1', '127.0.0.1', 'a loopback address'],
    ['2130706433', '127.0.0.1', 'a loopback address'],
    ['0177.0.0.1', '127.0.0.1', 'a loopback address'],
    ['0x7f.0.0.1', '127.0.0.1', 'a loopback address'],
    ['0x7f000001', '127.0.0.1', 'a loopback address'],
    ['017700000001', '127.0.0.1', 'a loopback address'],
    ['localhost', 'localhost', 'a loopback address'],
    ['LOCALHOST', 'localhost', 'a loopback address'],
    ['0', '0.0.0.0', 'the unspecified address'],
    ['0.0.0.0', '0.0.0.0', 'the unspecified address'],
    ['[::1]', '::1', 'a loopback address'],
    ['[0:0:0:0:0:0:0:1]', '::1', 'a loopback address'],
    ['[::]', '::', 'the unspecified address'],
    ['[::ffff:127.0.0.1]', '::ffff:7f00:1', 'a loopback address'],
    ['[::ffff:7f00:1]', '::ffff:7f00:1', 'a loopback address'],
    ['[::ffff:0.0.0.0]', '::ffff:0:0', 'the unspecified address'],
    ['[64:ff9b::7f00:1]', '64:ff9b::7f00:1', 'a loopback address'],
    ['[::127.0.0.1]', '::7f00:1', 'a reserved address'],
    ['[2002:7f00:1::]', '2002:7f00:1::', 'a reserved address'],
    ['[2001:0:4136:e378:8000:63bf:80ff:fffe]', '2001:0:4136:e378:8000:63bf:80ff:fffe', 'a reserved address'],
    ['10.0.0.7', '10.0.0.7', 'a private address'],
    ['[fd00::7]', 'fd00::7', 'a private address'],
    ['[fe80::1]', 'fe80::1', 'a link-local address'],
    ['169.254.169.254', '169.254.169.254', "the address of a cloud's metadata service"],
    ['0xa9fea9fe', '169.254.169.254', "the address of a cloud's metadata service"],
    ['100.64.0.1', '100.64.0.1', 'an address of carrier-grade NAT'],
    ['224.0.0.1', '224.0.0.1', 'a multicast address'],
    ['255.255.255.255', '255.255.255.255', 'the broadcast address'],
  ])('on %s is refused, and nothing is dialled', async (host, plain, what) => {
    const callee = await startRawCallee(() => undefined);
    const { result } = await deliver(host, callee.port, { egress: closed });
    expect(result).toEqual(refused(shown(host.replace(/[[\]]/g, ''), plain), what));
    expect(callee.accepted()).toBe(0);
  });

  it.each([
    ['callee.example', '127.0.0.1', 'a loopback address'],
    ['localhost.', '127.0.0.1', 'a loopback address'],
    ['callee.example', '::ffff:127.0.0.1', 'a loopback address'],
    ['callee.example', '192.168.0.9', 'a private address'],
    ['metadata.google.internal', '169.254.169.254', "the address of a cloud's metadata service"],
    ['callee.example', 'fe80::1%lo', 'a link-local address'],
  ])('on %s that resolves to %s is refused, and nothing is dialled', async (host, address, what) => {
    const callee = await startRawCallee(() => undefined);
    const { lookup } = lookupOf([address]);
    const { result } = await deliver(host, callee.port, { egress: closed, lookup });
    expect(result).toEqual(refused(host, what));
    expect(callee.accepted()).toBe(0);
  });

  it('connects to what was judged, though the name has another address a moment later', async () => {
    const callee = await startRawCallee((connection) => connection.destroy());
    // 127.0.0.2 stands for a public address: opened, and nobody listens there.
    const { lookup, asked } = lookupOf(['127.0.0.2'], ['127.0.0.1']);
    const egress = egressTo('127.0.0.2');
    const first = await deliver('callee.example', callee.port, { egress, lookup });
    expect(first.result).toMatchObject({ message: 'connection refused', retryable: true });
    expect(asked()).toBe(1);
    const second = await deliver('callee.example', callee.port, { egress, lookup });
    expect(second.result).toEqual(refused('callee.example', 'a loopback address'));
    expect(callee.accepted()).toBe(0);
  });

  it('on a name with addresses of both sorts is called at none but the open ones', async () => {
    const callee = await startRawCallee((connection) => connection.destroy());
    const { lookup } = lookupOf(['127.0.0.1', '127.0.0.2', '::1']);
    const { result } = await deliver('callee.example', callee.port, {
      egress: egressTo('127.0.0.2'),
      lookup,
    });
    expect(result).toMatchObject({ message: 'connection refused', retryable: true });
    expect(callee.accepted()).toBe(0);
  });

  it.each([
    ['127.0.0.1', ['127.0.0.0/8']],
    ['127.0.0.1', ['127.0.0.1']],
    ['2130706433', ['127.0.0.1']],
    ['[::ffff:127.0.0.1]', ['127.0.0.1']],
    ['callee.internal', ['127.0.0.1']],
    ['callee.internal', ['callee.internal']],
    ['a.callee.internal', ['*.internal']],
  ])('on %s is called when %j is open', async (host, entries) => {
    const callee = await startRawCallee((connection) => connection.destroy());
    const { lookup } = lookupOf(['127.0.0.1']);
    await deliver(host, callee.port, { egress: egressTo(...entries), lookup });
    expect(callee.accepted()).toBeGreaterThan(0);
  });

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['0.0.0.0', '0.0.0.0'],
    ['callee.internal', 'callee.internal'],
  ])('on %s and a port of Carillon itself is refused, whatever is open', async (host, plain) => {
    const callee = await startRawCallee((connection) => connection.destroy());
    const { lookup } = host === 'callee.internal' ? lookupOf(['127.0.0.1']) : { lookup: undefined };
    const open = ['0.0.0.0/0', '::/0', '127.0.0.1', 'callee.internal'];
    const { result } = await deliver(host, callee.port, {
      egress: egressOfListener(callee.port, ...open),
      ...(lookup && { lookup }),
    });
    const named = shown(host.replace(/[[\]]/g, ''), plain);
    expect(result).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message: `${named} leads to a port of Carillon or its database, which may not be called`,
      retryable: false,
    });
    expect(callee.accepted()).toBe(0);
    // The neighbouring port on the same address is like any other.
    await deliver(host, callee.port, {
      egress: egressOfListener(callee.port === 65_535 ? 1 : callee.port + 1, ...open),
      ...(lookup && { lookup }),
    });
    expect(callee.accepted()).toBeGreaterThan(0);
  });

  it('on a name that leads to Carillon and elsewhere is called elsewhere', async () => {
    const callee = await startRawCallee((connection) => connection.destroy());
    const { lookup } = lookupOf(['127.0.0.1', '127.0.0.2']);
    const egress = egressOfListener(callee.port, '127.0.0.0/8');
    const { result } = await deliver('callee.internal', callee.port, { egress, lookup });
    expect(result).toMatchObject({ message: 'connection refused', retryable: true });
    expect(callee.accepted()).toBe(0);
  });

  it('on an address that is not open tells nothing of the ports there', async () => {
    const callee = await startRawCallee(() => undefined);
    const { result } = await deliver('127.0.0.1', callee.port, { egress: egressOfListener(callee.port) });
    expect(result).toEqual(refused('127.0.0.1', 'a loopback address'));
  });

  it('whose name has no address fails as one that is not found', async () => {
    const { lookup } = lookupOf([]);
    const { result } = await deliver('callee.internal', 1, { egress: closed, lookup });
    expect(result).toMatchObject({ message: 'name not found', retryable: true });
  });
});

it.each(['①②⑦.⓪.⓪.①', '１２７.0.0.1', '%31%32%37.1', '127。0。0。1'])(
  'a URL on %s is refused as the address that it is taken for',
  async (host) => {
    const callee = await startRawCallee(() => undefined);
    const { result } = await kinds.HTTP(host, callee.port, { egress: closed });
    expect(result).toEqual(refused('127.0.0.1', 'a loopback address'));
    expect(callee.accepted()).toBe(0);
  },
);

describe('a refusal', () => {
  it('is of its attempt: others go on over the connection that stands', async () => {
    const callee = await startCallee((_request, response) => response.end());
    const { lookup } = lookupOf(['127.0.0.1']);
    const client = http.createClient({ egress: egressTo('127.0.0.1'), lookup });
    const target = http.httpTarget(`http://callee.internal:${callee.port}/`);
    for (let i = 0; i < 3; i++) {
      expect(await client.deliver(target, http.sampleDelivery, http.recordedContext())).toMatchObject({
        outcome: 'SUCCEEDED',
      });
    }
    expect(callee.accepted()).toBe(1);
    const elsewhere = http.httpTarget('http://10.0.0.7/');
    const result = await client.deliver(elsewhere, http.sampleDelivery, http.recordedContext());
    expect(result).toEqual(refused('10.0.0.7', 'a private address'));
    expect(client.originCount).toBe(1);
  });

  it('leaves no connection of a gRPC client behind', async () => {
    const callee = await startGrpcCallee((call) => call.end());
    const client = grpc.createGrpcClient({ egress: closed });
    const result = await client.deliver(
      grpc.grpcTarget(callee.address),
      http.sampleDelivery,
      http.recordedContext(),
    );
    expect(result).toEqual(refused('127.0.0.1', 'a loopback address'));
    expect(callee.calls).toEqual([]);
    expect(client.connectionCount).toBe(0);
  });
});
