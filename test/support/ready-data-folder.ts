import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { EmbeddedPostgres } from '../../src/store/embedded-postgres/embedded-postgres.ts';

const run = promisify(execFile);

/**
 * Makes a data folder as an embedded Postgres leaves it that has run once and
 * was stopped. The function returned copies it, with owners and modes: for
 * tests of what comes later, which need not make a cluster each.
 */
export function useReadyDataFolder(): (dataDir: string) => Promise<void> {
  let folder: string;
  let ready: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'carillon-ready-'));
    // mkdtemp makes folders for the user alone; the server's user must get through.
    await chmod(folder, 0o755);
    ready = join(folder, 'data');
    const postgres = new EmbeddedPostgres({ dataDir: ready, clock: systemClock, logger: silentLogger });
    await postgres.start();
    await postgres.stop();
  });
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }));
  return async (dataDir) => void (await run('cp', ['-a', ready, dataDir]));
}
