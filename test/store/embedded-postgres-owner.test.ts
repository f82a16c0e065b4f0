import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger, silentLogger } from '../../src/platform/logger.ts';
import { EmbeddedPostgres } from '../../src/store/embedded-postgres/embedded-postgres.ts';
import { isRoot } from '../../src/store/embedded-postgres/server-user.ts';
import { isAlive } from '../support/is-alive.ts';
import { type Owner, spawnOwner } from '../support/postgres-owner.ts';
import { queryOnce, queryValue } from '../support/postgres-query.ts';
import { useReadyDataFolder } from '../support/ready-data-folder.ts';

const copyReadyFolder = useReadyDataFolder();
let folder: string;
let dataDir: string;
const owners: Owner[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-embedded-'));
  dataDir = join(folder, 'data');
});
afterEach(async () => {
  await Promise.all(owners.splice(0).map((owner) => owner.end('SIGTERM')));
  await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
});

function own(searchPath?: string): Owner {
  const owner = spawnOwner(dataDir, searchPath);
  owners.push(owner);
  return owner;
}

async function ownUrl(searchPath?: string): Promise<string> {
  const report = await own(searchPath).report;
  expect(report.error).toBeUndefined();
  return report.url as string;
}

const postmasterPath = (): string => join(dataDir, 'postgres', 'postmaster.pid');
const postmasterPid = async (): Promise<number> =>
  Number.parseInt(await readFile(postmasterPath(), 'utf8'), 10);

/** Where `sh` is found and setpriv is not, as on a machine without it. */
async function pathWithoutSetpriv(): Promise<string> {
  const path = join(folder, 'bin');
  await chmod(folder, 0o755);
  await mkdir(path, { mode: 0o755 });
  await symlink('/bin/sh', join(path, 'sh'));
  return path;
}

describe('the owner of a data folder', () => {
  it('keeps a second process away, and says so with folder and pid', async () => {
    await copyReadyFolder(dataDir);
    await ownUrl();
    const { error } = await own().report;
    expect(error).toContain(
      `the data folder ${dataDir} is in use by another Carillon process (pid ${owners[0]!.process.pid})`,
    );
    expect(error).toContain('CARILLON_DATA_DIR');
    const here = new EmbeddedPostgres({ dataDir, clock: systemClock, logger: silentLogger });
    await expect(here.start()).rejects.toThrow('is in use by another Carillon process');
    await here.stop();
    // The refused ones have left the server of the owner alone.
    expect(await isAlive(await postmasterPid())).toBe(true);
  });

  it('is one of two that start on a fresh folder at the same moment', async () => {
    const reports = await Promise.all([own().report, own().report, own().report]);
    const urls = reports.flatMap(({ url }) => url ?? []);
    const errors = reports.flatMap(({ error }) => error ?? []);
    expect([urls.length, errors.length]).toEqual([1, 2]);
    for (const error of errors) expect(error).toContain('is in use');
    expect(await queryValue(urls[0]!, 'select 1')).toBe(1);
  });

  it.each([0o755, 0o700])('takes its server along when it is killed (folder of mode %o)', async (mode) => {
    await chmod(folder, mode);
    await copyReadyFolder(dataDir);
    await queryOnce(await ownUrl(), 'create table kept as select 42 as n');
    const pid = await postmasterPid();
    await owners[0]!.end('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
    expect(await queryValue(await ownUrl(), 'select n from kept')).toBe(42);
  });

  it('is followed at once by another one when it is killed', async () => {
    await copyReadyFolder(dataDir);
    await queryOnce(await ownUrl(), 'create table kept as select 42 as n');
    await owners[0]!.end('SIGKILL');
    expect(await queryValue(await ownUrl(), 'select n from kept')).toBe(42);
  });

  it('stops the orphan of a killed one and starts its own server', async () => {
    const searchPath = await pathWithoutSetpriv();
    await copyReadyFolder(dataDir);
    await queryOnce(await ownUrl(searchPath), 'create table kept as select 42 as n');
    const orphan = await postmasterPid();
    await owners[0]!.end('SIGKILL');
    await systemClock.sleep(200);
    expect(await isAlive(orphan)).toBe(true);
    expect(await queryValue(await ownUrl(), 'select n from kept')).toBe(42);
    expect(await postmasterPid()).not.toBe(orphan);
    expect(await isAlive(orphan)).toBe(false);
  });

  it('stops an orphan that is frozen', async () => {
    const searchPath = await pathWithoutSetpriv();
    await copyReadyFolder(dataDir);
    await ownUrl(searchPath);
    const orphan = await postmasterPid();
    process.kill(orphan, 'SIGSTOP');
    await owners[0]!.end('SIGKILL');
    expect(await queryValue(await ownUrl(), 'select 1')).toBe(1);
    expect(await isAlive(orphan)).toBe(false);
  });

  it('waits for children that outlive a killed postmaster', async () => {
    const searchPath = await pathWithoutSetpriv();
    await copyReadyFolder(dataDir);
    const url = await ownUrl(searchPath);
    const busy = queryOnce(
      url,
      "select count(*) from generate_series(1, 6000000) n where n::text = 'x'",
    ).catch(() => undefined);
    await systemClock.sleep(200);
    const orphan = await postmasterPid();
    await owners[0]!.end('SIGKILL');
    process.kill(orphan, 'SIGKILL');
    expect(await queryValue(await ownUrl(), 'select 1')).toBe(1);
    await busy;
  });

  it('is not misled by a postmaster.pid whose pid is another program today', async () => {
    await copyReadyFolder(dataDir);
    const url = await ownUrl();
    await queryOnce(url, 'create table kept as select 42 as n');
    const text = await readFile(postmasterPath(), 'utf8');
    await owners[0]!.end('SIGTERM');
    // Somebody else's process, with a data folder of its own on its command line.
    const other = spawn('sh', ['-c', 'sleep 60; true', '-D', '/somewhere/else']);
    await once(other, 'spawn');
    try {
      await writeFile(postmasterPath(), text.replace(/^\d+/, String(other.pid)));
      expect(await queryValue(await ownUrl(), 'select n from kept')).toBe(42);
      expect(other.exitCode ?? other.signalCode).toBeNull();
    } finally {
      other.kill('SIGKILL');
    }
  });

  it('begins anew after initdb was killed half-way', async () => {
    const half = async (): Promise<string | undefined> => {
      const names = await readdir(dataDir).catch(() => []);
      const making = names.find((name) => name.startsWith('new-'));
      return making && (await readdir(join(dataDir, making))).find((name) => name === 'postgres');
    };
    // Where this process is too slow to see it half-way, another one begins.
    for (let [isSeen, tries] = [false, 0]; !isSeen; tries++) {
      expect(tries).toBeLessThan(10);
      await rm(dataDir, { recursive: true, force: true });
      const owner = own();
      const isMade = owner.report.then(() => true);
      while (!isSeen && !(await Promise.race([isMade, systemClock.sleep(5)]))) {
        isSeen = (await half().catch(() => undefined)) === 'postgres';
      }
      await owner.end(isSeen ? 'SIGKILL' : 'SIGTERM');
    }
    await mkdir(join(dataDir, 'new-older', 'postgres', 'base'), { recursive: true });
    await writeFile(join(dataDir, 'new-older', 'postgres', 'PG_VERSION'), '18\n');
    expect(await queryValue(await ownUrl(), 'select current_database()')).toBe('carillon');
    expect((await readdir(dataDir)).filter((name) => name.startsWith('new-'))).toEqual([]);
  });

  it('ends its server in order on stop', async () => {
    await copyReadyFolder(dataDir);
    await ownUrl();
    const pid = await postmasterPid();
    await owners[0]!.end('SIGTERM');
    expect(await isAlive(pid)).toBe(false);
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).toMatch(/database system is shut down\n$/);
  });

  it.runIf(isRoot())('gets by in a folder that only root may enter, and changes no mode', async () => {
    const closed = join(folder, 'closed');
    await mkdir(closed, { mode: 0o700 });
    await chmod(folder, 0o700);
    const lines: { runsAs?: string }[] = [];
    const logger = createLogger({
      level: 'info',
      destination: { write: (line) => lines.push(JSON.parse(line)) },
    });
    const postgres = new EmbeddedPostgres({ dataDir: join(closed, '.carillon'), clock: systemClock, logger });
    try {
      await postgres.start();
      expect(await queryValue(postgres.url, 'select 1')).toBe(1);
      expect(lines.map(({ runsAs }) => runsAs)).toEqual([expect.stringContaining('server user with dac_')]);
      expect((await stat(closed)).mode & 0o777).toBe(0o700);
      expect((await stat(folder)).mode & 0o777).toBe(0o700);
    } finally {
      await postgres.stop();
    }
  });
});
