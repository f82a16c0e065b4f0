/**
 * A real Postgres for tests: a cluster in a temporary folder that answers in
 * about a second, can be killed, stopped, paused and started again, and is not
 * durable (fsync off) unless the test asks for it.
 *
 * The folder holds `owner`, the pid of the process that made it: a test run
 * that was killed leaves its server behind, and a later run clears it away.
 */
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Binaries, findBinaries } from '../../src/store/embedded-postgres/binaries.ts';
import { chooseLauncher, collect, type Launcher } from '../../src/store/embedded-postgres/launcher.ts';
import { getServerUser, isRoot } from '../../src/store/embedded-postgres/server-user.ts';

/** What a test can ask of its Postgres. */
export type PostgresOptions = {
  /** Keeps what it acknowledged through kill -9 of the machine; kill -9 of the server is survived either way. Default false. */
  readonly durable?: boolean;
  /** More settings of postgresql.conf; they win over the ones here. */
  readonly settings?: Readonly<Record<string, string | number>>;
};

/** A running Postgres of the test's own. */
export type TestPostgres = {
  /** The database `postgres` as superuser. The port stays the same over restarts. */
  readonly url: string;
  readonly dataDir: string;
  readonly logPath: string;
  /** The pid of the postmaster. */
  pid(): number;
  /** Stops it in order: `smart` waits for clients, `fast` ends them, `immediate` leaves recovery to the next start. */
  stop(mode?: 'smart' | 'fast' | 'immediate'): Promise<void>;
  /** Kills the postmaster; its children notice and end by themselves a moment later. */
  kill9(): Promise<void>;
  /** Starts it again after `stop` or `kill9`, on the same port; resolves when it answers. */
  restart(): Promise<void>;
  /** Stops the postmaster and all its children with SIGSTOP: connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** Lets them go on. */
  resume(): Promise<void>;
  /** Stops it and removes the folder. */
  remove(): Promise<void>;
};

const prefix = 'carillon-test-postgres-';

const baseSettings = {
  full_page_writes: 'off',
  synchronous_commit: 'on',
  max_connections: 300,
  shared_buffers: '128MB',
  // A place with an odd offset (+12:45, +13:45 in summer), so that code which leans on the server's zone is found out.
  timezone: 'Pacific/Chatham',
  track_commit_timestamp: 'on',
  jit: 'off',
  max_wal_size: '2GB',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  log_line_prefix: '%m [%p] %d %a ',
  max_locks_per_transaction: 256,
};

/** Starts a Postgres; resolves when it answers. */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  const binaries = await findBinaries();
  const user = isRoot() ? await getServerUser() : undefined;
  const folder = await mkdtemp(join(tmpdir(), prefix));
  await writeFile(join(folder, 'owner'), String(process.pid));
  if (user) await chown(folder, user.uid, user.gid);
  const { launcher } = await chooseLauncher({ postgres: binaries.postgres, folder, user });
  const dataDir = join(folder, 'data');
  await runInitdb(binaries, launcher, dataDir);
  const server = new Server(binaries, launcher, folder, dataDir, await findFreePort(), options);
  await server.restart();
  return server;
}

async function runInitdb(binaries: Binaries, launcher: Launcher, dataDir: string): Promise<void> {
  const args = ['--pgdata', dataDir, '--username=postgres', '--auth=trust', '--no-sync', '--no-instructions'];
  const locale = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C', '--encoding=UTF8'];
  const outcome = await collect(
    launcher.spawn(binaries.initdb, [...args, ...locale], ['ignore', 'pipe', 'pipe']),
  );
  if (outcome.code !== 0) throw new Error(`initdb failed: ${outcome.stderr}`);
}

class Server implements TestPostgres {
  readonly url: string;
  readonly dataDir: string;
  readonly logPath: string;
  readonly #spawn: () => ChildProcess;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  constructor(
    binaries: Binaries,
    launcher: Launcher,
    folder: string,
    dataDir: string,
    port: number,
    options: PostgresOptions,
  ) {
    this.#folder = folder;
    this.dataDir = dataDir;
    this.logPath = join(folder, 'postgres.log');
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    const settings = { ...baseSettings, port, fsync: options.durable ? 'on' : 'off', ...options.settings };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#spawn = () => {
      const log = openSync(this.logPath, 'a');
      try {
        return launcher.spawn(binaries.postgres, ['-D', dataDir, ...args], ['ignore', log, log]);
      } finally {
        closeSync(log);
      }
    };
  }

  pid(): number {
    if (!this.#child?.pid) throw new Error('Postgres is not running');
    return this.#child.pid;
  }

  async restart(): Promise<void> {
    if (isRunning(this.#child)) throw new Error('Postgres is running');
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      // After kill -9 the start fails ("lock file already exists", "pre-existing shared memory") until the last child is gone.
      if (!isRunning(this.#child)) {
        this.#child = this.#spawn();
        this.#child.unref();
      }
      if (await answers(this.url)) return;
      await sleep(25);
    }
    throw new Error(`Postgres did not start, its log ends with:\n${await readEnd(this.logPath)}`);
  }

  async stop(mode: 'smart' | 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#end(({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const)[mode]);
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async pause(): Promise<void> {
    // The postmaster first, so that it starts no child that is missed.
    process.kill(this.pid(), 'SIGSTOP');
    for (const pid of await findChildren(this.pid())) signal(pid, 'SIGSTOP');
  }

  async resume(): Promise<void> {
    for (const pid of await findChildren(this.pid())) signal(pid, 'SIGCONT');
    process.kill(this.pid(), 'SIGCONT');
  }

  async remove(): Promise<void> {
    if (isRunning(this.#child)) {
      await this.resume();
      await this.stop('immediate');
    }
    await removeFolder(this.#folder);
  }

  async #end(name: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || !isRunning(child)) return;
    child.ref();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(name);
    await ended;
  }
}

const isRunning = (child: ChildProcess | undefined): boolean =>
  child !== undefined && child.exitCode === null && child.signalCode === null;

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

const readEnd = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(-15).join('\n');

/** A port that nothing listens on just now. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}

/** The pids whose parent is `parent`, from /proc. */
export async function findChildren(parent: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0);
  const children: number[] = [];
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The name before the last bracket may hold blanks and brackets itself.
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) children.push(pid);
  }
  return children;
}

/** Sends a signal; false when the process is gone. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** How long the folder of a run that is over is kept for a look. */
const keptMs = 3_600_000;

/** Stops the servers of test runs that were killed, and removes the folders of runs that were over an hour ago. */
export async function removeAbandonedClusters(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    const owner = Number(await readFile(join(folder, 'owner'), 'utf8').catch(() => ''));
    // Without the file the folder is being made this moment.
    if (!owner || signal(owner, 0)) continue;
    const pid = Number.parseInt(
      await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8').catch(() => ''),
      10,
    );
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(folder)) signal(pid, 'SIGQUIT');
    const mtimeMs =
      (await stat(join(folder, 'owner')).catch(() => undefined))?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - mtimeMs > keptMs) await removeFolder(folder);
  }
}

const removeFolder = (folder: string): Promise<void> =>
  rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
