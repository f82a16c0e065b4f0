import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { awaitFileLock, tryLockFile } from '../../src/store/embedded-postgres/file-lock.ts';
import { trimLog } from '../../src/store/embedded-postgres/postmaster.ts';
import { serverSettings, settingsFile } from '../../src/store/embedded-postgres/settings.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-embedded-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a lock on a file', () => {
  const clock = systemClock;
  const { signal } = new AbortController();

  it('is held by one at a time, in one process as well', async () => {
    const path = join(folder, 'lock');
    const first = await tryLockFile(path);
    expect(first?.isReal).toBe(true);
    expect(await tryLockFile(path)).toBeUndefined();
    first?.release();
    first?.release();
    const second = await tryLockFile(path);
    expect(second).toBeDefined();
    second?.release();
  });

  it('stays with a child that inherited it until the child ends', async () => {
    const path = join(folder, 'lock');
    const lock = await tryLockFile(path);
    const child = spawn('sleep', ['30'], { stdio: ['ignore', 'ignore', 'ignore', lock!.fd] });
    await once(child, 'spawn');
    lock!.release();
    expect(await awaitFileLock(path, { clock, signal, timeoutMs: 100 })).toBeUndefined();
    child.kill('SIGKILL');
    const next = await awaitFileLock(path, { clock, signal, timeoutMs: 30_000 });
    expect(next).toBeDefined();
    next?.release();
  });

  it('is waited for no longer than the signal lets', async () => {
    const path = join(folder, 'lock');
    const lock = await tryLockFile(path);
    const controller = new AbortController();
    const waiting = awaitFileLock(path, { clock, signal: controller.signal, timeoutMs: 60_000 });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    lock?.release();
  });
});

describe('trimLog', () => {
  it('moves a log that is too big aside while the server goes on writing it', async () => {
    const path = join(folder, 'log');
    const writer = await open(path, 'a');
    await writer.write('old\n');
    await trimLog(path, 4);
    expect(await readFile(path, 'utf8')).toBe('old\n');
    await appendFile(path, 'more\n');
    await trimLog(path, 4);
    await writer.write('new\n');
    await writer.close();
    expect(await readFile(path, 'utf8')).toBe('new\n');
    expect(await readFile(`${path}.1`, 'utf8')).toBe('old\nmore\n');
  });
});

describe('serverSettings', () => {
  const gib = 1_024 ** 3;

  it.each([
    [gib / 4, '128MB'],
    [gib, '128MB'],
    [4 * gib, '512MB'],
    [64 * gib, '1024MB'],
  ])('takes from a memory of %d bytes %s', (memory, expected) => {
    expect(serverSettings(memory).shared_buffers).toBe(expected);
  });

  it('doubles quotes in the file', () => {
    expect(settingsFile({ a: "it's" })).toContain("a = 'it''s'\n");
  });
});
