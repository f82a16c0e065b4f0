/**
 * Workers and services in other languages against a live Carillon:
 * `npm run test:interop`. It starts an instance with an empty database of its
 * own, installs what the examples need, and runs them. A language that cannot
 * be had on this machine is left out, and said so. The package that `npm pack`
 * makes is installed as users do it, and run on every Node that is here.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { startInstance } from '../../examples/demo/instance.ts';
import { createCarillonClient } from '../../src/cli/client.ts';
import { checkService, checkWorker } from './callees.ts';
import { findNodes, installPackage } from './installed-package.ts';
import { prepareGo, preparePython, root } from './toolchains.ts';

const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stopping.abort());

const counts = { passed: 0, failed: 0, skipped: 0 };
const instance = await startInstance(stopping.signal);
const client = createCarillonClient(instance.grpc);
try {
  await check('a shell command as a worker', () =>
    checkWorker(client, instance.grpc, {
      name: 'shell',
      command: (address, queue) => [
        ...[process.execPath, join(root, 'bin', 'carillon.js'), 'worker', '--json-result'],
        ...['--address', address, '--queue', queue],
        ...['--exec', 'read -r who; echo "hello $who"; sleep 1; echo "{\\"greeted\\": \\"$who\\"}"'],
      ],
    }),
  );
  for (const prepare of [preparePython, prepareGo]) {
    if (stopping.signal.aborted) break;
    const toolchain = await prepare();
    if ('leftOut' in toolchain) {
      say(`left out  ${toolchain.language}: ${toolchain.leftOut}`);
      counts.skipped += 2;
      continue;
    }
    const { language, worker, service } = toolchain;
    await check(`a worker in ${language}`, () =>
      checkWorker(client, instance.grpc, {
        name: `${language} worker`,
        command: (address, queue) => [...worker, address, queue],
      }),
    );
    await check(`a service in ${language}`, () =>
      checkService(client, { name: `${language} service`, command: service }),
    );
  }
  await checkPackage();
} finally {
  client.close();
  await instance.stop();
}
say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
// Nothing is left to wait for but listeners of signals.
process.exit(counts.failed > 0 || stopping.signal.aborted ? 1 : 0);

/** The package, on every Node there is: its worker library, and an instance of its own. */
async function checkPackage(): Promise<void> {
  if (stopping.signal.aborted) return;
  const installed = await installPackage().catch((error: Error) => ({ leftOut: error.message }));
  if ('leftOut' in installed) {
    say(`left out  the package: ${installed.leftOut}`);
    counts.skipped += 2;
    return;
  }
  try {
    for (const { version, path } of await findNodes()) {
      await check(`a worker from the package on Node ${version}`, () =>
        checkWorker(client, instance.grpc, {
          name: `package on ${version}`,
          command: (address, queue) => [path, installed.workerPath, address, queue],
        }),
      );
      await check(`carillon serve from the package on Node ${version}`, async () => {
        const own = await startInstance(stopping.signal, [path, installed.binaryPath]);
        assert.equal(await own.stop(), 0, 'the exit code behind SIGTERM');
      });
    }
  } finally {
    await installed.remove();
  }
}

async function check(what: string, work: () => Promise<void>): Promise<void> {
  if (stopping.signal.aborted) return;
  const beganMs = performance.now();
  try {
    await work();
    counts.passed++;
    say(`passed    ${what} (${((performance.now() - beganMs) / 1_000).toFixed(1)} s)`);
  } catch (error) {
    counts.failed++;
    say(`failed    ${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
