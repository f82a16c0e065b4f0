/** Where the database is, as its connections tell it: what targets must not call. */
import dns from 'node:dns';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { OwnPorts } from '../../src/platform/own-ports.ts';
import { Database } from '../../src/store/database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase({ empty: true });
const portOf = (url: string): number => Number(new URL(url).port);

afterEach(() => vi.restoreAllMocks());

/** A database at a URL, and the ports that are kept of it. */
function databaseAt(url: string): { database: Database; own: OwnPorts } {
  const own = new OwnPorts();
  const database = new Database({
    url,
    poolSize: 1,
    clock: systemClock,
    logger: silentLogger,
    onAddress: (address, port) => own.addDatabase(address, port),
  });
  onTestFinished(() => database.close());
  return { database, own };
}

/** Has the resolver answer for every name. */
function resolveTo(...answer: readonly (readonly [string, 4 | 6])[]): void {
  const addresses = answer.map(([address, family]) => ({ address, family }));
  vi.spyOn(dns, 'lookup').mockImplementation(((_name: string, _options: object, callback: unknown) =>
    process.nextTick(callback as () => void, null, addresses)) as never);
}

/** Serves a Postgres over a socket in the file system, as a server on the port would; returns the folder. */
async function serveInFolder(url: string, port: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'carillon-pg-'));
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const upstream = connect(portOf(url), '127.0.0.1');
    for (const each of [socket, upstream]) sockets.push(each.on('error', () => undefined));
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(join(folder, `.s.PGSQL.${port}`), resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return folder;
}

describe('the database is kept', () => {
  it('at all addresses of its name, whichever the connection leads to', async () => {
    resolveTo(['127.0.0.1', 4], ['203.0.113.9', 4], ['2001:db8::9', 6]);
    const url = new URL(testDatabase.url);
    url.hostname = 'database.example';
    const { database, own } = databaseAt(url.href);
    await database.ping();
    const port = portOf(testDatabase.url);
    const called = ['127.0.0.1', '203.0.113.9', '2001:db8::9', '203.0.113.10'];
    expect(called.map((address) => own.has(address, port))).toEqual([true, true, true, false]);
  });

  it('at its address where the URL has no name', async () => {
    const { database, own } = databaseAt(testDatabase.url);
    await database.ping();
    expect(own.has('127.0.0.1', portOf(testDatabase.url))).toBe(true);
  });

  it('at its port on this machine where it is reached over a socket in the file system', async () => {
    const folder = await serveInFolder(testDatabase.url, 5_499);
    const { username, password, pathname } = new URL(testDatabase.url);
    const host = encodeURIComponent(folder);
    const { database, own } = databaseAt(
      `postgres://${username}:${password}@/${pathname.slice(1)}?host=${host}&port=5499`,
    );
    await database.ping();
    const called = ['127.0.0.1', '::1', '203.0.113.9'];
    expect(called.map((address) => own.has(address, 5_499))).toEqual([true, true, false]);
  });

  it('nowhere as long as its name leads nowhere, and at the next connection when it does', async () => {
    vi.spyOn(dns, 'lookup').mockImplementation(((_name: string, _options: object, callback: unknown) =>
      process.nextTick(callback as () => void, new Error('no answer'))) as never);
    const url = new URL(testDatabase.url);
    url.hostname = 'database.example';
    const { database, own } = databaseAt(url.href);
    await expect(database.ping()).rejects.toThrow('no answer');
    expect(own.hasPort(portOf(testDatabase.url))).toBe(false);
    resolveTo(['127.0.0.1', 4], ['203.0.113.9', 4]);
    await database.ping();
    expect(own.has('203.0.113.9', portOf(testDatabase.url))).toBe(true);
  });
});
