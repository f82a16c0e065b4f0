import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AddJob, Backfill } from '../../src/engine/operations.ts';
import { type Servers, startServers } from '../conformance/servers.ts';
import { runHere } from './command-here.ts';
import type { CommandResult } from './command-line.ts';

let servers: Servers;

beforeAll(async () => {
  servers = await startServers();
});

afterAll(() => servers.stop());

beforeEach(() => {
  servers.operations.asked.length = 0;
});

const run = (...args: string[]): Promise<CommandResult> =>
  runHere([...args, '--address', servers.grpc.address]);

/** The request of the last call of an operation. */
function lastAsked<Request>(operation: string): Request {
  const call = servers.operations.asked.findLast((each) => each.operation === operation);
  return (call ?? expect.fail(`${operation} was not called`)).args[0] as Request;
}

describe('the options of a schedule', () => {
  it('make the schedules of the job, with jitter and calendars on each', async () => {
    const { exitCode } = await run(
      ...['job', 'add', 'timed', '--url', 'http://callee.test', '--overlap', 'cancel-other'],
      ...['--cron', '0 0 3 ? * MON-FRI', '--dialect', 'quartz', '--zone', 'Europe/Berlin'],
      ...['--gap', 'skip', '--ambiguous', 'both', '--every', '5m', '--fixed-delay'],
      ...['--jitter', '30s', '--calendar', 'holidays', '--calendar', 'weekends'],
    );
    expect(exitCode).toBe(0);
    const both = { jitterMs: 30_000, calendars: ['holidays', 'weekends'], repeatCount: 0 };
    expect(lastAsked<AddJob>('add').draft).toMatchObject({
      overlap: 'CANCEL_OTHER',
      schedules: [
        {
          ...both,
          spec: {
            kind: 'cron',
            expression: '0 0 3 ? * MON-FRI',
            dialect: 'QUARTZ',
            timeZone: 'Europe/Berlin',
            gap: 'SKIP',
            ambiguous: 'BOTH',
          },
        },
        { ...both, spec: { kind: 'interval', everyMs: 300_000, mode: 'FIXED_DELAY' } },
      ],
    });
    expect((await run('job', 'get', 'timed')).stdout).toContain(
      'every 5m fixed-delay jitter 30s calendar holidays calendar weekends',
    );
  });

  it('are previewed as those of a job whose namespace has the calendars', async () => {
    const args = ['--every', '5m', '--calendar', 'holidays', '--as', 'shop//timed', '--count', '1'];
    expect((await run('job', 'preview', ...args)).exitCode).toBe(0);
    expect(lastAsked('preview')).toMatchObject({
      key: { namespace: 'shop', group: 'default', name: 'timed' },
      schedules: [{ calendars: ['holidays'] }],
    });
    expect((await run('job', 'preview', 'timed', '--as', 'shop//timed')).exitCode).toBe(2);
  });

  it.each([
    ['--dialect', ['--dialect', 'quartz', '--every', '5m'], '--cron'],
    ['--fixed-delay', ['--fixed-delay', '--cron', '@daily'], '--every'],
    ['--jitter', ['--jitter', '5s'], '--cron, --every, --at'],
    ['--calendar', ['--calendar', 'holidays'], '--cron, --every, --at'],
  ])('%s is refused without what it belongs to', async (flag, args, bases) => {
    const { exitCode, stderr } = await run('job', 'preview', 'timed', ...args);
    expect(exitCode).toBe(2);
    expect(stderr).toBe(`error: ${flag} belongs to ${bases}\n`);
    expect(servers.operations.asked).toEqual([]);
  });
});

describe('carillon job backfill', () => {
  const range = ['--from', '2026-02-01T00:00:00Z', '--to', '2026-02-01T03:00:00Z'];

  beforeAll(async () => {
    await run('job', 'add', 'late', '--url', 'http://callee.test');
  });

  it('tells with --dry-run what would run', async () => {
    const { stdout, exitCode } = await run('job', 'backfill', 'late', ...range, '--dry-run');
    expect(exitCode).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'would make 3 executions',
      '  would run 2026-02-01T00:00:00.000Z',
      '  would run 2026-02-01T01:00:00.000Z',
      '  would run 2026-02-01T02:00:00.000Z',
      '',
    ]);
    expect(lastAsked<Backfill>('backfill')).toMatchObject({ dryRun: true, overlap: 'BUFFER_ALL' });
  });

  it('names the backfill, by which its executions are listed and canceled', async () => {
    const made = await run('job', 'backfill', 'late', ...range, '--overlap', 'allow', '--request-id', 'b-1');
    const [, id = ''] = /^backfill (\d+) made 3 executions; /.exec(made.stdout) ?? [];
    expect(lastAsked<Backfill>('backfill')).toMatchObject({ overlap: 'ALLOW', requestId: 'b-1' });
    const again = await run('job', 'backfill', 'late', ...range, '--overlap', 'allow', '--request-id', 'b-1');
    expect(again.stdout).toContain(`backfill ${id} made 3 executions (replayed`);
    const listed = await run('execution', 'list', '--backfill', id, '--json');
    const rows = listed.stdout.trimEnd().split('\n');
    expect(rows.map((row) => JSON.parse(row))).toMatchObject([1, 2, 3].map(() => ({ backfillId: id })));
    const canceled = await run('execution', 'cancel', '--backfill', id);
    expect(lastAsked('cancel')).toEqual({ backfillId: Number(id) });
    expect(canceled.stdout.match(/canceled/g)).toHaveLength(3);
  });

  it('says when the range has no fire time', async () => {
    const empty = ['--from', '2026-02-01T00:10:00Z', '--to', '2026-02-01T00:20:00Z'];
    expect((await run('job', 'backfill', 'late', ...empty)).stdout).toBe('no fire time in that range\n');
  });

  it('exits 1 and names the field when the range ends before it begins', async () => {
    const reversed = ['--from', '2026-02-02T00:00:00Z', '--to', '2026-02-01T00:00:00Z'];
    const { stderr, exitCode } = await run('job', 'backfill', 'late', ...reversed);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^INVALID_ARGUMENT: end_time: must be later than start_time/);
  });

  it('needs both ends of the range', async () => {
    expect((await run('job', 'backfill', 'late', '--from', '2026-02-01T00:00:00Z')).exitCode).toBe(2);
  });
});

describe('carillon execution cancel', () => {
  it('takes ids, a job or a backfill, and one of them only', async () => {
    const results = await Promise.all([
      run('execution', 'cancel'),
      run('execution', 'cancel', '1', '--backfill', '2'),
      run('execution', 'cancel', '--job', 'late', '--backfill', '2'),
    ]);
    expect(results.map(({ exitCode }) => exitCode)).toEqual([2, 2, 2]);
    expect(servers.operations.asked).toEqual([]);
  });
});
