import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { firstBundle } from '../engine/targets/http/client-certificates.ts';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { runHere } from './command-here.ts';
import type { CommandResult } from './command-line.ts';

const database = useTestDatabase();

const value = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
let instance: InstanceProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-secret-'));
  await writeFile(join(folder, 'value'), `${value}\n`);
  await writeFile(join(folder, 'empty'), '\n');
  const env = { CARILLON_SECRET_KEY: Buffer.alloc(32, 5).toString('base64') };
  instance = await InstanceProcess.start({ databaseUrl: database.url, env });
});

afterAll(async () => {
  instance?.close();
  await instance?.ended;
  await rm(folder, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<CommandResult> => runHere([...args, '--address', instance.grpc]);

it('writes a generated value alone to standard output, so that it can go into a file', async () => {
  const { stdout, stderr, exitCode } = await run('secret', 'put', 'hook');
  expect(stdout).toMatch(/^whsec_[\w+/]{43}=\n$/);
  expect({ stderr, exitCode }).toEqual({ stderr: 'made hook\n', exitCode: 0 });
});

it('takes a value from a file, lists names and times only, and deletes', async () => {
  const put = ['secret', 'put', 'given', '--namespace', 'shop'];
  await run(...put);
  const changed = await run(...put, '--value-file', join(folder, 'value'), '--keep-previous', '1h');
  expect(changed).toMatchObject({ stdout: '', exitCode: 0 });
  expect(changed.stderr).toMatch(/^changed shop\/given, the value before signs until \S+Z\n$/);
  const listed = await run('secret', 'list', '--namespace', 'shop');
  expect(listed.stdout).toMatch(
    /^NAME +KIND +CHANGED +PREVIOUS UNTIL +EXPIRES\ngiven +SIGNING +\S+Z +\S+Z *\n$/,
  );
  const json = await run('secret', 'list', '--namespace', 'shop', '--json');
  expect(Object.keys(JSON.parse(json.stdout))).toEqual([
    ...['namespace', 'name', 'createTime', 'updateTime', 'previousUntilTime', 'kind'],
  ]);
  expect((await run('secret', 'delete', 'given', '--namespace', 'shop')).stdout).toBe('deleted shop/given\n');
  expect((await run('secret', 'delete', 'given')).stdout).toBe('there was no given\n');
});

it('signs a job by --signing-secret, and keeps its secret', async () => {
  await run('secret', 'put', 'used');
  const target = ['--url', 'http://127.0.0.1:9/{{job.name}}', '--template', '--signing-secret', 'used'];
  const added = await run('job', 'add', 'nightly/report', ...target, '--body', '[{{attempt}}]', '--json');
  expect(JSON.parse(added.stdout)).toMatchObject({
    job: { target: { http: { signingSecretName: 'used', template: true, body: '[{{attempt}}]' } } },
  });
  const refused = await run('secret', 'delete', 'used');
  expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
  expect(refused.stderr).toContain('SECRET_IN_USE');
});

it('takes a client certificate, tells when it expires, and has a job show it', async () => {
  await writeFile(join(folder, 'bundle.pem'), firstBundle);
  const put = ['secret', 'put', 'callee', '--value-file', join(folder, 'bundle.pem')];
  const made = await run(...put, '--client-certificate');
  expect(made).toMatchObject({ stdout: '', exitCode: 0 });
  expect(made.stderr).toBe('made callee, the certificate expires at 2120-01-01T00:00:00.000Z\n');
  expect((await run(...put)).stderr).toContain('changed callee, the certificate expires at');
  expect((await run('secret', 'list')).stdout).toMatch(
    /^callee +CLIENT_CERTIFICATE .* 2120-01-01T00:00:00\.000Z$/m,
  );
  const target = ['--grpc', '127.0.0.1:9', '--tls', '--tls-client-certificate', 'callee'];
  await run('job', 'add', 'shows', ...target);
  expect((await run('job', 'get', 'shows')).stdout).toContain('grpc 127.0.0.1:9 tls with certificate callee');
  expect((await run('secret', 'delete', 'callee')).stderr).toContain('SECRET_IN_USE');
});

it('takes the value of a header, has a job send it, and shows it to nobody', async () => {
  await writeFile(join(folder, 'text'), 'Bearer marked-value\n');
  const put = ['secret', 'put', 'crm', '--value-file', join(folder, 'text')];
  expect(await run(...put, '--text')).toMatchObject({ stdout: '', stderr: 'made crm\n', exitCode: 0 });
  expect((await run(...put)).stderr).toBe('changed crm\n');
  expect((await run('secret', 'list')).stdout).toMatch(/^crm +TEXT /m);
  const url = 'http://127.0.0.1:9/';
  await run('job', 'add', 'sends', '--url', url, '--secret-header', 'Authorization=crm');
  const { stdout } = await run('job', 'get', 'sends');
  expect(stdout).toContain(`POST ${url} with Authorization of crm`);
  const json = await run('job', 'get', 'sends', '--json');
  expect(JSON.parse(json.stdout).target.http.secretHeaders).toEqual({ Authorization: 'crm' });
  expect(stdout + json.stdout).not.toContain('marked');
  expect((await run('secret', 'delete', 'crm')).stderr).toContain('SECRET_IN_USE');
});

it('is of one kind', async () => {
  const both = await run('secret', 'put', 'odd', '--text', '--client-certificate');
  expect(both.exitCode).toBe(2);
  expect(both.stderr).toContain('--text');
});

it.each([
  ['a file that does not exist', 'nowhere', 'ENOENT'],
  ['an empty file', 'empty', 'It is empty.'],
])('exits 2 for a value from %s', async (_, file, hint) => {
  const { exitCode, stderr } = await run('secret', 'put', 'odd', '--value-file', join(folder, file));
  expect(exitCode).toBe(2);
  expect(stderr).toContain(hint);
});
