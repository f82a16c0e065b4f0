/**
 * The Postgres that Carillon brings along and runs when no DATABASE_URL is set.
 *
 * It is a real server in a process of its own, on a free port of 127.0.0.1,
 * with a random password, durable settings, and its data kept between runs. The
 * files are described in data-folder.ts; how it runs as root in launcher.ts.
 *
 * States: new → starting → running ⇄ restarting → stopped. A failed start is
 * stopped. The port is chosen once, so the URL holds until the end.
 *
 * Two locks of the kernel keep the data safe (file-lock.ts):
 *   - owner.lock is held by one Carillon process from start to stop. A second
 *     one on the folder is refused with the pid of the first.
 *   - server.lock is inherited by every process of the server and by initdb.
 *     Whoever gets it knows that none of them lives, whatever postmaster.pid says.
 *
 * What can happen:
 *   - Two starts on a fresh folder: owner.lock lets one through.
 *   - Carillon is killed: the kernel ends the server in order (setpriv
 *     --pdeathsig); where it cannot, the next start stops the orphan (orphan.ts).
 *     Either way the next start waits until the last process is gone.
 *   - postmaster.pid of a dead server names a process of today: it is removed,
 *     because server.lock is free. Postgres alone would refuse to start.
 *   - initdb is killed half-way: its folder is removed and it runs again; only a
 *     complete cluster is ever renamed into place.
 *   - The server crashes: it is started again on the same port, at once and then
 *     with growing pauses, for as long as Carillon runs. A crashed backend is
 *     the server's own affair.
 *   - The port was taken between choice and use: another one is tried at the
 *     first start; a restart waits for its own.
 *   - Ctrl-C at the terminal: the server has a session of its own and does not
 *     see it; it ends when Carillon has drained and calls stop().
 *   - stop() during start(): the start ends the server and rejects.
 *   - Data of another major version, of another user, without its password, or
 *     in a place that cannot be reached: refused with what to do about it.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import pg from 'pg';
import { backoffMs } from '../../platform/backoff.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import { Loop } from '../../platform/loop.ts';
import type { Service } from '../../platform/service.ts';
import {
  createCluster,
  createDataFolder,
  type DataFolder,
  dataFolderAt,
  findClusterVersion,
  readPassword,
  removeHalfMade,
  roleName,
  writeSettings,
} from './data-folder.ts';
import { awaitFileLock, type FileLock } from './file-lock.ts';
import { checkClusterOwner, prepareInstallation } from './installation.ts';
import type { Installation } from './launcher.ts';
import { takeOverServer } from './orphan.ts';
import { takeOwnership } from './owner.ts';
import {
  findFreePort,
  isPortFree,
  isRunning,
  startPostmaster,
  stopPostmaster,
  trimLog,
} from './postmaster.ts';
import { isRoot } from './server-user.ts';

/** What an embedded Postgres needs to know. */
export type EmbeddedPostgresOptions = {
  /** Where the data lives, for example .carillon; made if need be. */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where system programs such as setpriv are looked up. Default: the usual folders. */
  readonly searchPath?: string;
};

const crashBackoff = { initialMs: 100, maxMs: 5_000, multiplier: 2 };

/** A server that ran for so long crashed for a new reason. */
const stableMs = 60_000;

const portTries = 5;

/** How often the size of the server's log is looked at. */
const logKeeperMs = 60_000;

/** A Postgres server that lives as long as this service runs; see the head of the file. */
export class EmbeddedPostgres implements Service {
  readonly #options: EmbeddedPostgresOptions;
  readonly #folder: DataFolder;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #logKeeper: Loop;
  #starting: Promise<void> | undefined;
  #supervising: Promise<void> | undefined;
  #ownerLock: FileLock | undefined;
  #child: ChildProcess | undefined;
  #url: string | undefined;

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
    this.#folder = dataFolderAt(resolve(options.dataDir));
    this.#logger = options.logger.child({ part: 'embedded-postgres' });
    this.#logKeeper = new Loop({
      clock: options.clock,
      tick: () => trimLog(this.#folder.log).then(() => logKeeperMs),
      onError: (error) => this.#logger.warn({ error }, 'the log of embedded postgres could not be cut'),
      failedWaitMs: logKeeperMs,
    });
  }

  /** The URL of the database `carillon`, with the password, from the end of `start` on. */
  get url(): string {
    if (!this.#url) throw new Error('embedded Postgres has not been started');
    return this.#url;
  }

  /** Resolves when the database can be used. A second call gets the outcome of the first. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Resolves when the server has ended in order and the folder is free. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('embedded Postgres was stopped'));
    await this.#starting?.catch(() => undefined);
    await this.#supervising;
    await this.#release();
  }

  async #start(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    const began = clock.monotonicMs();
    try {
      signal.throwIfAborted();
      await createDataFolder(this.#folder.root, isRoot());
      await checkClusterOwner(this.#folder);
      this.#ownerLock = await takeOwnership(this.#folder);
      const { installation, port, isNew } = await this.#startFirst();
      const password = await readPassword(this.#folder);
      const urlOf = (database: string): string =>
        `postgres://${roleName}:${password}@127.0.0.1:${port}/${database}`;
      await createDatabase(urlOf('postgres'));
      signal.throwIfAborted();
      this.#url = urlOf(roleName);
      this.#supervising = this.#supervise(installation, port);
      await this.#logKeeper.start();
      const fields = {
        dataDir: this.#folder.root,
        port,
        pid: this.#child?.pid,
        isNew,
        runsAs: installation.launcher.name,
      };
      const tookMs = Math.round(clock.monotonicMs() - began);
      this.#logger.info({ ...fields, tookMs }, 'embedded postgres is running');
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  /** Sees to it that no other server uses the folder, that there is a cluster, and that its server runs. */
  async #startFirst(): Promise<{ installation: Installation; port: number; isNew: boolean }> {
    const { signal } = this.#stopping;
    const { clock, searchPath } = this.#options;
    const serverLock = await takeOverServer({ folder: this.#folder, clock, logger: this.#logger, signal });
    try {
      signal.throwIfAborted();
      const installation = await prepareInstallation(this.#folder, searchPath);
      signal.throwIfAborted();
      const isNew = await this.#prepareCluster(installation, serverLock);
      signal.throwIfAborted();
      return { installation, isNew, port: await this.#startOnFreePort(installation, serverLock) };
    } finally {
      // The server's own processes hold it from here on.
      serverLock.release();
    }
  }

  async #release(): Promise<void> {
    await this.#logKeeper.stop();
    if (this.#child && isRunning(this.#child)) {
      await stopPostmaster(this.#child, this.#options.clock);
      this.#logger.info({}, 'embedded postgres is stopped');
    }
    this.#ownerLock?.release();
  }

  /** Resolves to whether the cluster is new. */
  async #prepareCluster(installation: Installation, serverLock: FileLock): Promise<boolean> {
    const folder = this.#folder;
    await removeHalfMade(folder);
    const isNew = (await findClusterVersion(folder)) === undefined;
    if (isNew) await createCluster({ ...installation, folder, lockFd: serverLock.fd });
    await writeSettings(folder);
    return isNew;
  }

  async #startOnFreePort(installation: Installation, serverLock: FileLock): Promise<number> {
    for (let n = 1; ; n++) {
      const port = await findFreePort();
      try {
        await this.#startServer(installation, port, serverLock);
        return port;
      } catch (error) {
        // Only a port that somebody took meanwhile is worth another try.
        if (n >= portTries || (await isPortFree(port))) throw error;
      }
    }
  }

  async #startServer(installation: Installation, port: number, serverLock: FileLock): Promise<void> {
    this.#child = await startPostmaster({
      ...installation,
      folder: this.#folder,
      port,
      lockFd: serverLock.fd,
      clock: this.#options.clock,
      logger: this.#logger,
      signal: this.#stopping.signal,
    });
  }

  /** Starts the server again whenever it ends, until stop. */
  async #supervise(installation: Installation, port: number): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    const aborted = awaitAbort(signal);
    let crashes = 0;
    for (;;) {
      const began = clock.monotonicMs();
      await Promise.race([awaitEnd(this.#child as ChildProcess), aborted]);
      if (signal.aborted) return;
      const downSince = clock.monotonicMs();
      crashes = downSince - began > stableMs ? 1 : crashes + 1;
      const { exitCode, signalCode } = this.#child as ChildProcess;
      const fields = { exitCode, signalCode, log: this.#folder.log };
      this.#logger.error(fields, 'embedded postgres ended by itself, starting it again');
      // The first crash in a while is answered at once.
      if (crashes > 1) await clock.sleep(backoffMs(crashBackoff, crashes - 1), signal);
      if (!(await this.#restart(installation, port))) return;
      this.#logger.warn(
        { downMs: Math.round(clock.monotonicMs() - downSince) },
        'embedded postgres is running again',
      );
    }
  }

  /** Tries until the server runs; resolves to false when stopped before. */
  async #restart(installation: Installation, port: number): Promise<boolean> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    for (let n = 1; !signal.aborted; n++) {
      try {
        // Children of the dead server hold it until they have noticed.
        const lock = await awaitFileLock(this.#folder.serverLock, { clock, timeoutMs: 30_000, signal });
        if (!lock) throw new Error('processes of the ended server are still running');
        await this.#startServer(installation, port, lock).finally(() => lock.release());
        return true;
      } catch (error) {
        if (signal.aborted) break;
        this.#logger.error({ error, n }, 'embedded postgres could not be started again');
        await clock.sleep(backoffMs(crashBackoff, n), signal);
      }
    }
    return false;
  }
}

/** Makes the database unless it is there. The server's own `postgres` is left for administrators. */
async function createDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl, application_name: 'carillon start' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [roleName]);
    if (rowCount === 0) await client.query(`create database ${roleName}`);
  } finally {
    await client.end();
  }
}

async function awaitEnd(child: ChildProcess): Promise<void> {
  if (isRunning(child)) await once(child, 'exit');
}

async function awaitAbort(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
