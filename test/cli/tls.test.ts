/** A service with TLS, from the command line: what operators set, and how commands and workers reach it. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { awaitThat } from '../support/await-that.ts';
import { callerAuthority, firstListener, stranger, worker } from '../support/identities.ts';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useMountedTls } from '../support/tls-files.ts';
import { runHere } from './command-here.ts';
import { type CommandResult, startCommand, useCommands } from './command-line.ts';

const database = useTestDatabase();
const mountTls = useMountedTls();
useCommands();

let instance: InstanceProcess;
let folder: string;
const file = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-cli-tls-'));
  const contents = {
    'ca.pem': firstListener.cert,
    'worker.pem': worker.cert,
    'worker.key': worker.key,
    'stranger.pem': stranger.cert,
    'stranger.key': stranger.key,
  };
  for (const [name, text] of Object.entries(contents)) await writeFile(file(name), text);
  const { certFile, keyFile, clientCaFile = '' } = await mountTls({ ...firstListener, ca: callerAuthority });
  instance = await InstanceProcess.start({
    databaseUrl: database.url,
    env: {
      CARILLON_TLS_CERT_FILE: certFile,
      CARILLON_TLS_KEY_FILE: keyFile,
      CARILLON_TLS_CLIENT_CA_FILE: clientCaFile,
    },
  });
});

afterAll(async () => {
  instance?.close();
  await instance?.ended;
  await rm(folder, { recursive: true });
});

const run = (args: readonly string[], env = {}): Promise<CommandResult> => runHere(args, { env });
const list = (...args: string[]): string[] => ['job', 'list', '--address', instance.grpc, ...args];

it('is at https addresses by its banner', () => {
  expect(instance.grpc).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  expect(instance.http).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
});

it('is reached by commands that trust its authority, by an option or a variable', async () => {
  expect(await run(list('--ca', file('ca.pem')))).toMatchObject({ exitCode: 0, stderr: '' });
  const variables = { CARILLON_ADDRESS: instance.grpc, CARILLON_CA_FILE: file('ca.pem') };
  expect(await run(['job', 'list'], variables)).toMatchObject({ exitCode: 0, stderr: '' });
});

it('is reached with a certificate of the right authority, and of no other', async () => {
  const withIdentity = (name: string) =>
    run(list('--ca', file('ca.pem'), '--cert', file(`${name}.pem`), '--key', file(`${name}.key`)));
  expect(await withIdentity('worker')).toMatchObject({ exitCode: 0 });
  expect(await withIdentity('stranger')).toMatchObject({ exitCode: 1 });
  await awaitThat('the log says so', () => instance.log.includes('client certificate refused'));
});

it('is not spoken to when its authority is not trusted, or without TLS', async () => {
  const untrusted = await run(list());
  expect(untrusted.exitCode).toBe(1);
  expect(untrusted.stderr).toContain('self-signed certificate');
  const plain = await run(['job', 'list', '--address', instance.grpc.replace('https://', '')]);
  expect(plain.exitCode).toBe(1);
});

it('takes workers with TLS', async () => {
  const tls = ['--address', instance.grpc, '--ca', file('ca.pem')];
  const { process, awaitOutput } = startCommand(['worker', '--queue', 'q', '--exec', 'true', ...tls]);
  await awaitOutput('connected');
  process.kill('SIGTERM');
});

it.each([
  [['--cert', 'worker.pem', '--address', 'https://a:1'], '--cert and --key go together'],
  [['--ca', 'ca.pem', '--address', 'a:1'], 'certificates need an address that begins with https://'],
  [['--ca', 'missing.pem', '--address', 'https://a:1'], 'It cannot be read: ENOENT'],
  [['--address', 'ftp://a:1'], 'It has the form host:port, or https://host:port for TLS.'],
])('refuses %j and says what would be right', async (args, message) => {
  const { exitCode, stderr } = await run([
    'job',
    'list',
    ...args.map((arg) => (/\.pem$/.test(arg) ? file(arg) : arg)),
  ]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
});

it('does not take a variable for a mistake at an address without TLS', async () => {
  const { stderr } = await run(['job', 'list', '--address', '127.0.0.1:1'], {
    CARILLON_CA_FILE: file('ca.pem'),
  });
  expect(stderr).toContain('no Carillon answers at 127.0.0.1:1');
});

it.each([
  ['job', 'list'],
  ['worker', 'run', '--queue', 'q', '--exec', 'true'],
])('refuses an address of a variable that is none, naming both: %s %s', async (...args) => {
  const { stderr, exitCode } = await run(args, { CARILLON_ADDRESS: 'nowhere' });
  expect(exitCode).toBe(2);
  expect(stderr).toContain(
    "option '--address <host:port>' value 'nowhere' from env 'CARILLON_ADDRESS' is invalid",
  );
});

it('takes variables that are set to nothing for variables that are not set', async () => {
  const { stderr } = await run(['job', 'list', '--address', '127.0.0.1:1'], { CARILLON_CA_FILE: '' });
  expect(stderr).toContain('no Carillon answers at 127.0.0.1:1');
  expect((await run(['job', 'list'], { CARILLON_ADDRESS: ' ' })).stderr).not.toContain('CARILLON_ADDRESS');
});
