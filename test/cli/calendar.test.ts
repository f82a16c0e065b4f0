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

it('puts a calendar by options, shows it, replaces it and deletes it', async () => {
  const put = await run(
    ...['calendar', 'put', 'holidays', '--date', '2026-12-24', '--date', '2026-12-31', '--yearly', '12-25'],
    ...['--range', '2027-07-01..2027-07-31', '--weekday', 'sat', '--weekday', 'Sunday'],
    ...['--cron', '* 0-7 * * *', '--zone', 'Europe/Berlin', '--description', 'days off'],
  );
  expect(put).toEqual({
    stdout: 'made holidays, excludes 2 dates, 1 range, sat, sun, 1 yearly day, 1 cron\n',
    stderr: '',
    exitCode: 0,
  });
  const shown = await run('calendar', 'get', 'holidays', '--json');
  expect(JSON.parse(shown.stdout)).toMatchObject({
    namespace: 'default',
    name: 'holidays',
    description: 'days off',
    timeZone: 'Europe/Berlin',
    dates: ['2026-12-24', '2026-12-31'],
    dateRanges: [{ firstDate: '2027-07-01', lastDate: '2027-07-31' }],
    weekdays: ['WEEKDAY_SATURDAY', 'WEEKDAY_SUNDAY'],
    yearlyDays: ['12-25'],
    crons: [{ expression: '* 0-7 * * *', dialect: 'CRON_DIALECT_UNIX' }],
  });
  expect((await run('calendar', 'get', 'holidays')).stdout).toMatch(
    /^name +holidays\n.*\nweekdays +sat, sun\nyearly +12-25\ncrons +\* 0-7 \* \* \*\njobs +0\n/s,
  );
  const again = await run('calendar', 'put', 'holidays', '--yearly', '12-25');
  expect(again.stdout).toBe('replaced holidays, excludes 1 yearly day\n');
  expect((await run('calendar', 'delete', 'holidays')).stdout).toBe('deleted holidays\n');
  expect((await run('calendar', 'delete', 'holidays')).stdout).toBe('there was no holidays\n');
});

it('lists the calendars of a namespace', async () => {
  for (const name of ['b', 'a'])
    await run('calendar', 'put', name, '--namespace', 'shop', '--weekday', 'mon');
  const { stdout } = await run('calendar', 'list', '--namespace', 'shop');
  expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['NAME', 'ZONE', 'EXCLUDES', 'JOBS'],
    ['a', 'UTC', 'mon', '0'],
    ['b', 'UTC', 'mon', '0'],
    [''],
  ]);
  const first = await run('calendar', 'list', '--namespace', 'shop', '--limit', '1', '--json');
  expect(JSON.parse(first.stdout)).toMatchObject({ namespace: 'shop', name: 'a' });
  expect(first.stderr).toContain('there are more');
});

it('does not delete a calendar that a job uses, and says which', async () => {
  await run('calendar', 'put', 'used', '--yearly', '01-01');
  const added = await run(
    ...['job', 'add', 'nightly/report', '--cron', '0 3 * * *', '--calendar', 'used'],
    ...['--url', 'http://127.0.0.1:9/'],
  );
  expect(added).toMatchObject({ exitCode: 0 });
  const refused = await run('calendar', 'delete', 'used');
  expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
  expect(refused.stderr).toBe(
    'FAILED_PRECONDITION (CALENDAR_IN_USE): calendar default/used is used by default/nightly/report\n',
  );
  await run('job', 'delete', 'nightly/report');
  expect((await run('calendar', 'delete', 'used')).stdout).toBe('deleted used\n');
});

it('names what the service refuses, and exits 1', async () => {
  const refused = await run('calendar', 'put', 'odd', '--date', '2026-02-30');
  expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
  expect(refused.stderr).toMatch(/^INVALID_ARGUMENT: calendar\.dates\[0\]: 2026-02-30 does not exist/);
});

it.each([
  ['a range without an end', ['--range', '2026-12-24'], '2026-12-24..2027-01-02'],
  ['a day of the week that is none', ['--weekday', 'someday'], 'mon, tue, wed'],
  ['a dialect without an expression', ['--dialect', 'quartz'], '--cron'],
])('exits 2 for %s', async (_, options, hint) => {
  const { exitCode, stderr } = await run('calendar', 'put', 'odd', ...options);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(hint);
});
