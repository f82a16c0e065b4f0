import { afterAll, beforeAll, expect, it } from 'vitest';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { runHere } from './command-here.ts';
import type { CommandResult } from './command-line.ts';

const database = useTestDatabase();
let instance: InstanceProcess;

beforeAll(async () => {
  instance = await InstanceProcess.start({ databaseUrl: database.url });
});
afterAll(async () => {
  instance?.close();
  await instance?.ended;
});

const run = (...args: string[]): Promise<CommandResult> => runHere([...args, '--address', instance.grpc]);

it('makes, limits and lists namespaces', async () => {
  const limits = ['--max-running', '9', '--starts', '100/10s'];
  expect((await run('namespace', 'create', 'shop', ...limits, '--description', 'the shop')).stdout).toBe(
    'made shop\n',
  );
  const listed = await run('namespace', 'list');
  expect(listed.stdout).toMatch(
    /^NAME +MAX RUNNING +STARTS +INTAKE +DESCRIPTION\ndefault +- +- +-\s*\nshop +9 +100\/10s +- +the shop\n$/,
  );
  expect((await run('namespace', 'limit', 'shop', '--starts', '5/1s')).stdout).toBe('limited shop\n');
  const json = await run('namespace', 'list', '--json');
  expect(
    json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    { name: 'default' },
    { name: 'shop', description: 'the shop', limits: { startRate: { count: 5, period: '1s' } } },
  ]);
  expect((await run('namespace', 'limit', 'shop', '--unlimited')).stdout).toBe('lifted the limits of shop\n');
  expect(await run('namespace', 'limit', 'nowhere', '--unlimited')).toMatchObject({
    exitCode: 1,
    stdout: '',
  });
});

it('limits what calls make in a namespace, lists it in one column, and lifts it with the rest', async () => {
  const limits = ['--max-jobs', '100', '--executions-per-minute', '60'];
  expect((await run('namespace', 'create', 'yard', ...limits, '--max-streams', '5')).stdout).toBe(
    'made yard\n',
  );
  expect((await run('namespace', 'list')).stdout).toMatch(
    /^yard +- +- +jobs 100, executions 60\/min, streams 5\s*$/m,
  );
  // More than an int32 holds; and what is not given is lifted.
  expect((await run('namespace', 'limit', 'yard', '--log-bytes', '4294967296')).stdout).toBe(
    'limited yard\n',
  );
  expect((await run('namespace', 'list')).stdout).toMatch(/^yard +- +- +log 4294967296 B\s*$/m);
  expect((await run('namespace', 'limit', 'yard', '--unlimited')).stdout).toBe('lifted the limits of yard\n');
  expect((await run('namespace', 'list')).stdout).toMatch(/^yard +- +- +-\s*$/m);
});

it('limits and lists queues', async () => {
  expect((await run('queue', 'limit', 'mail', '--max-running', '3')).stdout).toBe('limited mail\n');
  expect((await run('queue', 'list')).stdout).toMatch(/^NAME +MAX RUNNING +STARTS\nmail +3 +-\n$/);
  const other = await run('queue', 'limit', 'mail', '--namespace', 'shop', '--starts', '1/1m', '--json');
  expect(JSON.parse(other.stdout)).toMatchObject({
    queue: { namespace: 'shop', name: 'mail', limits: { startRate: { count: 1, period: '60s' } } },
  });
});

it('limits a job, and says when overlap makes that idle', async () => {
  const target = ['--url', 'http://127.0.0.1:9/', '--max-running', '4'];
  const added = await run('job', 'add', 'narrow', ...target);
  expect(added).toMatchObject({ exitCode: 0 });
  expect(added.stdout + added.stderr).toContain('set overlap to ALLOW to run several');
  expect((await run('job', 'get', 'narrow')).stdout).toMatch(/max running +4\n/);
});

it.each([
  [['queue', 'limit', 'mail'], 'or else --unlimited'],
  [['queue', 'limit', 'mail', '--unlimited', '--max-running', '1'], 'or else --unlimited'],
  [['queue', 'limit', 'mail', '--starts', '100'], 'It looks like 100/1s.'],
  [['queue', 'limit', 'mail', '--max-jobs', '1'], 'unknown option'],
  [['namespace', 'limit', 'shop', '--max-running', '0'], 'whole number'],
  [['namespace', 'limit', 'shop', '--max-streams', '0'], 'whole number'],
  [['namespace', 'limit', 'shop', '--log-bytes', '1023'], '1024 or more'],
  [['namespace', 'limit', 'shop'], 'or else --unlimited'],
  [['namespace', 'limit', 'shop', '--unlimited', '--max-jobs', '1'], 'or else --unlimited'],
])('exits 2 for %j', async (args, hint) => {
  const { exitCode, stderr } = await run(...args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(hint);
});
