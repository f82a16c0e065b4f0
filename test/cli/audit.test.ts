import { afterAll, beforeAll, expect, it } from 'vitest';
import { awaitThat } from '../support/await-that.ts';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { runHere } from './command-here.ts';
import type { CommandResult } from './command-line.ts';

const database = useTestDatabase();
let instance: InstanceProcess;

beforeAll(async () => {
  instance = await InstanceProcess.start({ databaseUrl: database.url });
  const add = (name: string) => ['job', 'add', name, '--url', 'http://127.0.0.1:9/?token=hidden'];
  await run(...add('shop/g/report'));
  await run(...add('shop/g/report'), '--priority', '7', '--replace');
  await run(...add('shop/g/report'));
  await awaitEvents(3);
  await run('job', 'pause', 'shop/g/report', '--reason', 'holidays');
  await run('job', 'trigger', 'missing');
  await awaitEvents(5);
  await run('queue', 'limit', 'mail', '--max-running', '3');
});
afterAll(async () => {
  instance?.close();
  await instance?.ended;
});

const run = (...args: string[]): Promise<CommandResult> => runHere([...args, '--address', instance.grpc]);

/** Refused calls are written a moment behind their answer, and their place in the list is when they were written. */
const awaitEvents = (count: number): Promise<unknown> =>
  awaitThat(`${count} events`, async () => {
    const { stdout } = await run('audit', 'list', '--json');
    return stdout.trimEnd().split('\n').length === count;
  });

/** The lines of a list without their times and peers. */
async function list(...args: string[]): Promise<string[]> {
  const { stdout, stderr, exitCode } = await run('audit', 'list', ...args);
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replace(/^\S+ +/, '')
        .replace(/127\.0\.0\.1:\d+/, 'peer')
        .replaceAll(/ +/g, ' ')
        .trimEnd(),
    );
}

const title = 'ACTOR METHOD NAMESPACE OBJECT OUTCOME PEER WHAT';
const report = 'shop job shop/g/report';

it('lists who did what, newest first, and who was refused to', async () => {
  expect(await list()).toEqual([
    title,
    'anonymous AdminService/PutQueue default queue mail OK peer limits',
    'anonymous JobService/Trigger default job default/default/missing JOB_NOT_FOUND peer',
    `anonymous JobService/Pause ${report} OK peer`,
    `anonymous JobService/Add ${report} JOB_ALREADY_EXISTS peer`,
    `anonymous JobService/Add ${report} OK peer priority`,
    `anonymous JobService/Add ${report} OK peer`,
  ]);
});

it.each([
  [['--job', 'shop/g/report', '--outcome', 'job-already-exists'], [`Add ${report} JOB_ALREADY_EXISTS peer`]],
  [
    ['--method', 'JobService/Trigger', '--method', 'JobService/Pause', '--namespace', 'shop'],
    [`Pause ${report} OK peer`],
  ],
  [['--name', 'missing'], []],
  [['--actor', 'somebody'], []],
  [['--until', '2020-01-01T00:00:00Z'], []],
  [
    ['--type', 'job', '--since', '2020-01-01T00:00:00Z', '--outcome', 'ok', '--method', 'JobService/Pause'],
    [`Pause ${report} OK peer`],
  ],
])('finds by %j', async (args, lines) => {
  expect(await list(...args)).toEqual([title, ...lines.map((line) => `anonymous JobService/${line}`)]);
});

it('shows an event in full as JSON, without secrets', async () => {
  const { stdout } = await run('audit', 'list', '--json', '--job', 'shop/g/report', '--limit', '500');
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(events).toMatchObject([
    { method: 'carillon.v1.JobService/Pause', after: { reason: 'holidays' }, details: { changed: 1 } },
    { outcome: 'JOB_ALREADY_EXISTS' },
    { before: { priority: 0 }, after: { priority: 7 } },
    { after: { priority: 0, target: { url: 'http://127.0.0.1:9/?token=***' } } },
  ]);
  expect(stdout).not.toContain('hidden');
});

it('refuses a name beside a job', async () => {
  const { exitCode, stderr } = await run('audit', 'list', '--job', 'a', '--name', 'b');
  expect({ exitCode, stderr }).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('use one of --job and --name'),
  });
});
