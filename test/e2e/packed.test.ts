/** Carillon from a package: what `npm pack` makes of the checkout, installed into an empty folder. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import * as library from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstances } from '../support/instance-process.ts';
import { installLinked, packCarillon } from '../support/package.ts';
import { useTestDatabase } from '../support/postgres.ts';

const call = promisify(execFile);

const root = join(import.meta.dirname, '..', '..');

/** A worker as its author would write it; the second one is wrong, so that types which say nothing are noticed. */
const typedWorker = `
import { type Handler, PermanentError, Worker, type WorkerOptions } from 'carillon/worker';

const handler: Handler = async ({ parameters, log, signal, idempotencyKey, fireTime }) => {
  const day: string | undefined = parameters.text;
  log.info('begins', { day, fireTime: fireTime.toISOString() });
  signal.throwIfAborted();
  if (day === undefined) throw new PermanentError('there is no such day');
  return { day, idempotencyKey };
};
const options: WorkerOptions = { address: '127.0.0.1:50051', queue: 'reports', handler };
export const worker: Worker = new Worker(options);
// @ts-expect-error Queues have names.
export const wrong = new Worker({ address: '127.0.0.1:50051', queue: 7, handler });
`;

const plainWorker = `
import { Worker } from 'carillon/worker';
const [address] = process.argv.slice(2);
const handler = async ({ parameters, log }) => {
  log.info('hello ' + parameters.text);
  return { greeted: parameters.text };
};
await new Worker({ address, queue: 'packed', handler }).run();
`;

describe('the package', () => {
  const database = useTestDatabase({ empty: true });
  const instances = useInstances();
  let folder: string;
  let tarball: string;
  let installed: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'carillon-package-'));
    tarball = await packCarillon(folder);
    installed = await installLinked(tarball, folder);
    await writeFile(join(folder, 'package.json'), '{"type": "module"}');
    await writeFile(join(folder, 'worker.js'), plainWorker);
    await writeFile(join(folder, 'typed.ts'), typedWorker);
    // What the author of a program in TypeScript for Node has as well.
    await symlink(join(root, 'node_modules', '@types'), join(folder, 'node_modules', '@types'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('holds what runs and what is read, no sources and no tests, in less than 1 MB', async () => {
    expect((await readdir(installed)).toSorted()).toEqual(
      ['CHANGELOG.md', 'README.md', 'bin', 'dist', 'docs', 'exports', 'gen', 'package.json', 'proto'].concat(
        'third_party',
      ),
    );
    expect(await readdir(join(installed, 'dist', 'store', 'migrations'))).toEqual(
      await readdir(join(root, 'src', 'store', 'migrations')),
    );
    expect((await stat(tarball)).size).toBeLessThan(1_000_000);
  });

  it.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])(
    'declares its types to a strict program of module %s, moduleResolution %s',
    async (module, resolution) => {
      const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
      const options = [
        '--strict',
        '--noEmit',
        '--skipLibCheck',
        'false',
        '--target',
        'es2022',
        '--types',
        'node',
      ];
      const args = [tsc, ...options, '--module', module, '--moduleResolution', resolution, 'typed.ts'];
      const checked = call(process.execPath, args, { cwd: folder });
      await expect(checked.catch(({ stdout }: { stdout: string }) => ({ stdout }))).resolves.toMatchObject({
        stdout: '',
      });
    },
  );

  it('has the same library as the checkout, where carillon/worker leads to the sources', async () => {
    const print = `import * as library from 'carillon/worker'; console.log(Object.keys(library).join())`;
    const names = async (cwd: string): Promise<string> =>
      (await call(process.execPath, ['--input-type=module', '-e', print], { cwd })).stdout.trim();
    expect(await names(folder)).toBe(Object.keys(library).toSorted().join());
    expect(await names(root)).toBe(await names(folder));
    expect(await readFile(join(root, 'exports', 'worker.js'), 'utf8')).toContain('../src/worker/index.ts');
  });

  it('answers --help and --version', async () => {
    const bin = join(installed, 'bin', 'carillon.js');
    expect((await call(process.execPath, [bin, '--help'], { cwd: folder })).stdout).toContain('serve');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect((await call(process.execPath, [bin, '--version'], { cwd: folder })).stdout.trim()).toBe(version);
  });

  it('serves from an empty database and runs what a worker of plain JavaScript is assigned', async () => {
    const instance = await instances.start({
      databaseUrl: database.url,
      program: join(installed, 'bin', 'carillon.js'),
    });
    const worker = spawn(process.execPath, ['worker.js', instance.grpc], { cwd: folder, stdio: 'inherit' });
    const exited = once(worker, 'exit');
    try {
      const key = { name: 'packed' };
      await instance.jobs.add({
        job: { key, target: { kind: { case: 'worker', value: { queue: 'packed' } } } },
      });
      const { execution } = await instance.jobs.trigger({
        job: { ref: { case: 'key', value: key } },
        parameters: { text: 'you' },
      });
      const ended = await awaitThat('the execution has succeeded', async () => {
        const found = (await instance.executions.get({ executionId: execution!.id })).execution!;
        return found.state === ExecutionState.SUCCEEDED ? found : undefined;
      });
      expect(ended.result).toEqual({ greeted: 'you' });
      const { entries } = await instance.executions.listLogs({ executionId: execution!.id });
      expect(entries.map(({ message }) => message)).toEqual(['hello you']);
    } finally {
      worker.kill('SIGTERM');
    }
    expect(await exited).toEqual([0, null]);
    expect((await instance.stop()).code).toBe(0);
  });
});
