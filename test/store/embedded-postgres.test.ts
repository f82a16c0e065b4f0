import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger, type Logger, silentLogger } from '../../src/platform/logger.ts';
import { EmbeddedPostgres } from '../../src/store/embedded-postgres/embedded-postgres.ts';
import { queryOnce, queryValue } from '../support/postgres-query.ts';
import { useReadyDataFolder } from '../support/ready-data-folder.ts';

const copyReadyFolder = useReadyDataFolder();
let folder: string;
let dataDir: string;
const running: EmbeddedPostgres[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-embedded-'));
  // mkdtemp makes folders for the user alone; the server's user must get through.
  await chmod(folder, 0o755);
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((postgres) => postgres.stop()));
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

function create(logger: Logger = silentLogger): EmbeddedPostgres {
  const postgres = new EmbeddedPostgres({ dataDir, clock: systemClock, logger });
  running.push(postgres);
  return postgres;
}

async function start(logger?: Logger): Promise<EmbeddedPostgres> {
  const postgres = create(logger);
  await postgres.start();
  return postgres;
}

/** Starts one that has run before. */
async function startAgain(logger?: Logger): Promise<EmbeddedPostgres> {
  await copyReadyFolder(dataDir);
  return start(logger);
}

const postmasterPid = async (): Promise<number> =>
  Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10);

describe('EmbeddedPostgres', () => {
  it('starts a durable server with a database and a password of its own', async () => {
    const { url } = await start();
    const settings = await queryOnce(
      url,
      `select name, setting from pg_settings
       where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses',
                      'password_encryption', 'data_checksums', 'jit', 'max_connections') order by name`,
    );
    expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
      data_checksums: 'on',
      fsync: 'on',
      full_page_writes: 'on',
      jit: 'off',
      listen_addresses: '127.0.0.1',
      max_connections: '200',
      password_encryption: 'scram-sha-256',
      synchronous_commit: 'on',
    });
    expect(await queryValue(url, 'select current_database()')).toBe('carillon');
    expect((await stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600);
    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(queryValue(wrong.href, 'select 1')).rejects.toThrow('password authentication failed');
  });

  it('keeps its data between runs', async () => {
    const first = await start();
    await queryOnce(first.url, 'create table kept as select 42 as n');
    await first.stop();
    await expect(queryValue(first.url, 'select 1')).rejects.toThrow('ECONNREFUSED');
    const second = await start();
    expect(await queryValue(second.url, 'select n from kept')).toBe(42);
    expect(new URL(second.url).password).toBe(new URL(first.url).password);
  });

  it('lets an operator override its settings', async () => {
    const first = await startAgain();
    await queryOnce(first.url, "alter system set max_connections = '33'");
    await first.stop();
    const second = await start();
    expect(await queryValue(second.url, 'show max_connections')).toBe('33');
  });

  it('takes no signal for itself and hides from Ctrl-C in a session of its own', async () => {
    const listenersBefore = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) =>
      process.listenerCount(name),
    );
    await startAgain();
    const listenersAfter = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) =>
      process.listenerCount(name),
    );
    expect(listenersAfter).toEqual(listenersBefore);
    const pid = await postmasterPid();
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
    const [, , group, session] = fields.map(Number);
    expect([group, session]).toEqual([pid, pid]);
  });

  it('hides its environment from the server', async () => {
    process.env.PGOPTIONS = '-c work_mem=1MB';
    try {
      await startAgain();
      const environment = await readFile(`/proc/${await postmasterPid()}/environ`, 'utf8');
      expect(environment.split('\0').map((line) => line.split('=')[0])).not.toContain('PGOPTIONS');
    } finally {
      delete process.env.PGOPTIONS;
    }
  });

  it.each(['SIGKILL', 'SIGQUIT'] as const)(
    'starts the server again on the same port after %s to the postmaster',
    async (signal) => {
      const lines: { level: string; msg: string }[] = [];
      const logger = createLogger({
        level: 'info',
        destination: { write: (line) => lines.push(JSON.parse(line)) },
      });
      const postgres = await startAgain(logger);
      await queryOnce(postgres.url, 'create table kept as select 42 as n');
      for (let n = 1; n <= 2; n++) {
        const pid = await postmasterPid();
        process.kill(pid, signal);
        await expect
          .poll(() => postmasterPid().catch(() => pid), { timeout: 20_000, interval: 20 })
          .not.toBe(pid);
        const value = (): Promise<unknown> =>
          queryValue(postgres.url, 'select n from kept').catch(() => undefined);
        await expect.poll(value, { timeout: 20_000, interval: 20 }).toBe(42);
        // The server may answer before whoever watches over it knows that it runs, and would take its end for a failed start.
        const isBack = (): number =>
          lines.filter(({ msg }) => msg === 'embedded postgres is running again').length;
        await expect.poll(isBack, { timeout: 20_000, interval: 20 }).toBe(n);
      }
      const errors = lines.filter(({ level }) => level === 'error').map(({ msg }) => msg);
      expect(errors).toEqual(Array(2).fill('embedded postgres ended by itself, starting it again'));
    },
  );

  it('stops before start, during start, twice, and refuses to start afterwards', async () => {
    const never = create();
    await never.stop();
    await expect(never.start()).rejects.toThrow('embedded Postgres was stopped');
    expect(() => never.url).toThrow('has not been started');

    const interrupted = create();
    const starting = expect(interrupted.start()).rejects.toThrow('embedded Postgres was stopped');
    await interrupted.stop();
    await starting;

    const postgres = await start();
    const again = postgres.start();
    await Promise.all([postgres.stop(), postgres.stop()]);
    await postgres.stop();
    await again;
  });

  it('survives starts that are stopped at random moments', async () => {
    const first = await startAgain();
    await queryOnce(first.url, 'create table kept as select 42 as n');
    await first.stop();
    for (let n = 0; n < 12; n++) {
      const postgres = create();
      const outcome = postgres.start().catch((error: Error) => error.message);
      await systemClock.sleep(n * 10);
      await postgres.stop();
      expect([undefined, 'embedded Postgres was stopped']).toContain(await outcome);
    }
    expect(await queryValue((await start()).url, 'select n from kept')).toBe(42);
    expect((await readdir(dataDir)).filter((name) => name.startsWith('new-'))).toEqual([]);
  });

  it('stops while the server is being started again', async () => {
    const postgres = await startAgain();
    process.kill(await postmasterPid(), 'SIGKILL');
    await systemClock.sleep(20);
    await postgres.stop();
    await expect(queryValue(postgres.url, 'select 1')).rejects.toThrow('ECONNREFUSED');
  });

  it('refuses data of another major version', async () => {
    await copyReadyFolder(dataDir);
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '14\n');
    await expect(start()).rejects.toThrow(
      /written by Postgres 14, and this version of Carillon brings Postgres \d\d;/,
    );
  });

  it('refuses data whose password is gone', async () => {
    await copyReadyFolder(dataDir);
    await rm(join(dataDir, 'password'));
    await expect(start()).rejects.toThrow(`the file ${dataDir}/password is gone`);
  });

  it('says what the log of the server says when it does not start', async () => {
    await copyReadyFolder(dataDir);
    await rm(join(dataDir, 'postgres', 'global', 'pg_control'));
    await expect(start()).rejects.toThrow(
      /postgres\.log ends with:[\s\S]*could not find the database system/,
    );
  });
});
