import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { adminUrl } from './postgres.ts';
import { TcpProxy } from './tcp-proxy.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that answers what it is sent, with a proxy in front. */
async function startEcho(): Promise<{ proxy: TcpProxy; received: () => string; sockets: Socket[] }> {
  let received = '';
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      received += data;
      socket.write(data);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy = await TcpProxy.start({ port: (server.address() as { port: number }).port });
  cleanups.push(
    () => server.close(),
    () => proxy.close(),
  );
  return { proxy, received: () => received, sockets };
}

type Client = {
  readonly socket: Socket;
  readonly received: () => string;
  readonly errorCode: () => string | undefined;
};

async function connect(proxy: TcpProxy): Promise<Client> {
  const socket = createConnection({ host: '127.0.0.1', port: proxy.port });
  let received = '';
  let errorCode: string | undefined;
  socket.on('data', (data) => {
    received += data;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    errorCode = error.code;
  });
  cleanups.push(() => socket.destroy());
  await once(socket, 'connect');
  return { socket, received: () => received, errorCode: () => errorCode };
}

const awaitTrue = (condition: () => boolean): Promise<void> =>
  expect.poll(condition, { interval: 2, timeout: 30_000 }).toBe(true);

describe('TcpProxy', () => {
  it('passes bytes both ways and the end of the stream', async () => {
    const { proxy } = await startEcho();
    const { socket, received } = await connect(proxy);
    const big = 'x'.repeat(3_000_000);
    socket.end(big);
    await once(socket, 'close');
    expect(received()).toBe(big);
    await awaitTrue(() => proxy.connections.length === 0);
  });

  it('resets both sides when cut, and new connections too', async () => {
    const { proxy, sockets } = await startEcho();
    const client = await connect(proxy);
    client.socket.write('a');
    await awaitTrue(() => client.received() === 'a');
    proxy.setMode({ kind: 'cut' });
    await awaitTrue(() => client.errorCode() === 'ECONNRESET' && sockets[0]!.destroyed);
    const late = await connect(proxy).catch(() => undefined);
    if (late) await awaitTrue(() => late.errorCode() === 'ECONNRESET');
    proxy.setMode({ kind: 'pass' });
    const next = await connect(proxy);
    next.socket.write('b');
    await awaitTrue(() => next.received() === 'b');
  });

  it('reads nothing while halted and goes on where it stood', async () => {
    const { proxy, received } = await startEcho();
    const open = await connect(proxy);
    open.socket.write('a');
    await awaitTrue(() => open.received() === 'a');
    proxy.setMode({ kind: 'halt' });
    const late = await connect(proxy);
    open.socket.write('b');
    late.socket.write('c');
    await sleep(50);
    expect(received()).toBe('a');
    proxy.setMode({ kind: 'pass' });
    await awaitTrue(() => open.received() === 'ab' && late.received() === 'c');
  });

  it('never answers new connections in blackhole mode while open ones go on', async () => {
    const { proxy } = await startEcho();
    const open = await connect(proxy);
    open.socket.write('a');
    await awaitTrue(() => open.received() === 'a');
    proxy.setMode({ kind: 'blackhole' });
    const late = await connect(proxy);
    late.socket.write('b');
    open.socket.write('c');
    await awaitTrue(() => open.received() === 'ac');
    await sleep(30);
    expect([late.received(), late.errorCode()]).toEqual(['', undefined]);
  });

  it('delays each way and keeps the order in spite of jitter', async () => {
    const { proxy } = await startEcho();
    proxy.setMode({ kind: 'delay', ms: 30, jitterMs: 25 });
    const { socket, received } = await connect(proxy);
    const began = performance.now();
    for (let i = 0; i < 10; i++) {
      socket.write(String(i));
      await sleep(1);
    }
    await awaitTrue(() => received() === '0123456789');
    expect(performance.now() - began).toBeGreaterThan(30);
  });

  it('throttles to the given rate', async () => {
    const { proxy } = await startEcho();
    proxy.setMode({ kind: 'throttle', bytesPerSecond: 100_000 });
    const { socket, received } = await connect(proxy);
    const began = performance.now();
    socket.write('x'.repeat(10_000));
    await awaitTrue(() => received().length === 10_000);
    expect(performance.now() - began).toBeGreaterThan(150);
  });

  it('forwards to the server and drops its answers in one-way mode, until reset', async () => {
    const { proxy, received } = await startEcho();
    proxy.onClientData((data, connection) => {
      if (data.includes('COMMIT')) connection.setMode({ kind: 'one-way' });
    });
    proxy.onServerData((data, connection) => {
      if (data.includes('COMMIT')) connection.reset();
    });
    const client = await connect(proxy);
    const other = await connect(proxy);
    client.socket.write('BEGIN ');
    await awaitTrue(() => client.received() === 'BEGIN ');
    client.socket.write('COMMIT');
    await awaitTrue(() => client.errorCode() === 'ECONNRESET');
    expect([client.received(), received()]).toEqual(['BEGIN ', 'BEGIN COMMIT']);
    other.socket.write('x');
    await awaitTrue(() => other.received() === 'x');
  });

  it('loses the reply of a commit that Postgres made', async () => {
    const proxy = await TcpProxy.start({ port: Number(new URL(adminUrl()).port) });
    cleanups.push(() => proxy.close());
    const table = `lost_reply_${process.pid}`;
    const direct = new pg.Client({ connectionString: adminUrl() });
    await direct.connect();
    cleanups.push(() => direct.end());
    await direct.query(`create table ${table} (n int)`);
    cleanups.push(() => direct.query(`drop table ${table}`));

    const stopListening = proxy.onClientData((data, connection) => {
      if (data.includes('commit')) connection.setMode({ kind: 'one-way' });
    });
    proxy.onServerData((data, connection) => {
      if (data.includes('COMMIT')) connection.reset();
    });
    const client = new pg.Client({ connectionString: proxy.through(adminUrl()) });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('begin');
    await client.query(`insert into ${table} values (1)`);
    await expect(client.query('commit')).rejects.toThrow();
    stopListening();
    expect((await direct.query(`select n from ${table}`)).rows).toEqual([{ n: 1 }]);
  });

  it('tells nothing to listeners that were called off, and frees the port when closed', async () => {
    const { proxy } = await startEcho();
    const seen: string[] = [];
    const stopListening = proxy.onClientData((data) => seen.push(String(data)));
    const client = await connect(proxy);
    client.socket.write('a');
    await awaitTrue(() => client.received() === 'a');
    stopListening();
    client.socket.write('b');
    await awaitTrue(() => client.received() === 'ab');
    expect(seen).toEqual(['a']);
    const { port } = proxy;
    await proxy.close();
    await awaitTrue(() => client.errorCode() === 'ECONNRESET');
    const refused = createConnection({ host: '127.0.0.1', port });
    await expect(once(refused, 'connect')).rejects.toThrow('ECONNREFUSED');
  });
});
