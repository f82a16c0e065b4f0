import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type JsonObject, toJson } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JobSchema } from '../../gen/carillon/v1/job_pb.js';
import { connectPg, useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { runHere } from './command-here.ts';
import { type CommandResult, type RunningCommand, startCommand, useCommands } from './command-line.ts';

const database = useTestDatabase();
const instance = useInstance(() => ({ databaseUrl: database.url }));
useCommands();

const examplePath = join(import.meta.dirname, '../../examples/manifest/jobs.yaml');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carillon-apply-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;

/** Writes a manifest to a file of its own; returns the path. */
async function manifest(content: string | object): Promise<string> {
  const path = join(folder, `${files++}.yaml`);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const commandOf = (path: string, args: readonly string[]): readonly string[] => [
  ...['apply', '-f', path, ...args],
  ...['--address', instance().grpc],
];

/** In a process of its own. */
const start = (path: string, ...args: string[]): RunningCommand => startCommand(commandOf(path, args));

const apply = (path: string, ...args: string[]): Promise<CommandResult> => runHere(commandOf(path, args));

const worker = { worker: { queue: 'q' } };
const keyOf = (name: string, namespace = 'default') => ({ namespace, group: 'default', name });

/** A stored job as proto JSON. */
async function stored(name: string, namespace = 'default'): Promise<JsonObject> {
  const ref = { ref: { case: 'key', value: keyOf(name, namespace) } } as const;
  const { job } = await instance().jobs.get({ job: ref });
  return toJson(JobSchema, job!, { useProtoFieldName: true }) as JsonObject;
}

const namesIn = async (namespace: string): Promise<(string | undefined)[]> =>
  (await instance().jobs.list({ filter: { namespace } })).jobs.map(({ key }) => key?.name);

/** 300 jobs of a group of that name. From the 150th on they are planned, but none is committed before `letGo`. */
async function halfHeld(group: string): Promise<{ path: string; letGo: () => Promise<void> }> {
  const jobs = Array.from({ length: 300 }, (_, i) => ({ name: `${group}-${i}`, target: worker }));
  const path = await manifest({ owner: group, group, jobs });
  const sql = await connectPg(database.url);
  await sql.query('select pg_advisory_lock(1)');
  // Deferred to the commit, which a rehearsal does not come to.
  await sql.query(`create function carillon.hold_${group}() returns trigger language plpgsql
                       as 'begin perform pg_advisory_xact_lock_shared(1); return null; end'`);
  await sql.query(`create constraint trigger hold_${group} after insert on carillon.job deferrable initially deferred
                      for each row when (new.name ~ '^${group}-(1[5-9]|2[0-9])[0-9]$')
                  execute function carillon.hold_${group}()`);
  return { path, letGo: () => sql.end() };
}

describe('carillon apply', () => {
  it('applies the example, and finds nothing to do when it is applied again', async () => {
    const planned = await apply(examplePath, '--dry-run', '--exit-code');
    expect(planned).toMatchObject({ exitCode: 3, stderr: '' });
    expect(planned.stdout).toMatch(
      /^\+ create billing\/nightly\/invoices\n {4}fires \S+T02:30:00\+0[12]:00 Europe\/Berlin, /,
    );
    expect(await namesIn('billing')).toEqual([]);

    const done = await apply(examplePath);
    expect(done).toMatchObject({ exitCode: 0, stderr: '' });
    expect(done.stdout).toMatch(/\n4 created, 0 changed, 0 pruned, 0 unchanged\n$/);
    const again = await apply(examplePath, '--prune', '--dry-run', '--exit-code');
    expect(again).toMatchObject({ exitCode: 0, stderr: '' });
    expect(again.stdout).toMatch(
      /^(= unchanged \S+\n){4}plan: 0 to create, 0 to change, 0 to prune, 4 unchanged\n$/,
    );
  });

  it('shows what changes and how the fire times move, does it, and holds no pause for a change', async () => {
    const before = { name: 'moved', schedules: [{ cron: '0 2 * * *' }], target: worker, start_paused: true };
    await apply(await manifest({ jobs: [before] }));
    const { id, pauses } = await stored('moved');
    const after = { ...before, schedules: [{ cron: '0 3 * * *' }], retry: { max_attempts: 7 } };
    const { stdout, exitCode } = await apply(await manifest({ jobs: [after] }));
    expect(exitCode).toBe(0);
    const lines = stdout.split('\n');
    expect(lines.slice(0, 4)).toEqual([
      '~ change moved',
      '    schedules[0].cron.expression  0 2 * * * → 0 3 * * *',
      '    retry.max_attempts            3 → 7',
      expect.stringMatching(/^ {4}FIRES BEFORE +FIRES AFTER$/),
    ]);
    const moves = lines.slice(4, 14);
    expect(moves).toHaveLength(10);
    for (const move of moves) {
      expect(move).toMatch(
        /^ {4}(\S+)T02:00:00\+00:00 \(held by a pause\) +→ +\1T03:00:00\+00:00 \(held by a pause\)$/,
      );
    }
    expect(await stored('moved')).toMatchObject({ id, pauses, retry: { max_attempts: 7 } });
    expect((await apply(await manifest({ jobs: [after] }))).stdout).toContain('= unchanged moved');
  });

  it('gives fields back to their defaults that the manifest no longer names, whoever set them', async () => {
    const bare = await manifest({ owner: 'x', jobs: [{ name: 'bare', target: worker }] });
    await apply(bare);
    const fresh = await stored('bare');
    const labels = { 'carillon.io/owner': 'x', hand: 'made' };
    const queueTimeout = { seconds: 9n };
    const job = {
      key: keyOf('bare'),
      labels,
      queueTimeout,
      priority: 3,
      maxRunning: 2,
      description: 'by hand',
    };
    const paths = ['labels', 'queue_timeout', 'priority', 'max_running', 'description'];
    await instance().jobs.update({ job, updateMask: { paths } });
    const { stdout } = await apply(bare);
    expect(stdout.split('\n').slice(0, 6)).toEqual([
      '~ change bare',
      '    description    by hand → (none)',
      '    labels.hand    made → (none)',
      '    priority       3 → (none)',
      '    queue_timeout  9s → (none)',
      '    max_running    2 → (none)',
    ]);
    const { update_time: _, etag: __, generation: ___, ...now } = await stored('bare');
    expect(fresh).toMatchObject(now);
  });

  it('refuses what the service would refuse, at its place, and then changes nothing', async () => {
    const path = await manifest(
      [
        'namespace: refused',
        'jobs:',
        '  - {name: fine, target: {worker: {queue: q}}}',
        '  - name: never',
        '    schedules:',
        '      - cron: 0 0 31 2 *',
        '    target: {worker: {queue: q}}',
        '  - {name: lost, target: {worker: {queue: q}}, retry: {max_attempts: 101}}',
        '  - {name: aimless}',
      ].join('\n'),
    );
    const { stdout, stderr, exitCode } = await apply(path);
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 });
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(
        /:6:9: job "refused\/\/never": schedules\[0\]\.cron\.expression: .*it never fires/,
      ),
      expect.stringMatching(/:8:56: job "refused\/\/lost": retry\.max_attempts: /),
      expect.stringMatching(/:9:5: job "refused\/\/aimless": target: must be set$/),
      'nothing was changed: 3 of 4 jobs cannot be applied',
      '',
    ]);
    expect(await namesIn('refused')).toEqual([]);
  });

  it('takes over no job of another owner, or of none, unless it is told to', async () => {
    await instance().jobs.add({
      job: { key: keyOf('mine'), target: { kind: { case: 'worker', value: { queue: 'q' } } } },
    });
    const path = await manifest({ owner: 'team/a', jobs: [{ name: 'mine', target: worker }] });
    const refused = await apply(path);
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toContain('job "mine" is there already and has no owner; --adopt takes it over');
    expect((await apply(path, '--adopt')).stdout).toMatch(
      /^~ change mine\n {4}owner {2}\(none\) → team\/a\n/,
    );
    expect((await apply(path)).stdout).toContain('= unchanged mine');
    const other = await manifest({ owner: 'team/b', jobs: [{ name: 'mine', target: worker }] });
    expect((await apply(other)).stderr).toContain('belongs to team/a; --adopt takes it over');
  });

  it('prunes what its owner has in the namespaces of the manifest, and tells of the rest', async () => {
    const job = (name: string, namespace: string) => ({ name, namespace, target: worker });
    const owner = 'pruner';
    await apply(await manifest({ owner, jobs: [job('a', 'p1'), job('b', 'p1'), job('c', 'p2')] }));
    await apply(await manifest({ owner: 'neighbour', jobs: [job('n', 'p1')] }));
    const path = await manifest({ owner, jobs: [job('a', 'p1')] });
    const kept = await apply(path);
    expect(kept.stderr).toBe(
      'left alone, though no manifest has it: p1//b; --prune deletes\n' +
        'left alone, though no manifest has it: p2//c; --prune --all-namespaces deletes\n',
    );
    const pruned = await apply(path, '--prune');
    expect(pruned.stdout).toContain('- prune p1//b\n');
    expect(pruned.stdout).toMatch(/pruned p1\/\/b\n0 created, 0 changed, 1 pruned, 1 unchanged\n$/);
    expect([await namesIn('p1'), await namesIn('p2')]).toEqual([['a', 'n'], ['c']]);
    const empty = await manifest({ owner, jobs: [] });
    expect(await apply(empty, '--prune')).toMatchObject({ exitCode: 2, stdout: '' });
    expect((await apply(empty, '--prune', '--allow-empty', '--all-namespaces')).exitCode).toBe(0);
    expect([await namesIn('p1'), await namesIn('p2')]).toEqual([['n'], []]);
  });

  it('prints a plan and its outcome as JSON objects', async () => {
    const path = await manifest({
      jobs: [{ name: 'json', schedules: [{ cron: '0 2 * * *' }], target: worker }],
    });
    const { stdout } = await apply(path, '--json');
    const key = { namespace: 'default', group: 'default', name: 'json' };
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      {
        plan: 'create',
        job: key,
        fireTimes: expect.any(Array),
        warnings: ['schedule "0": means every day at 02:00 (UTC)'],
      },
      { outcome: 'created', plan: 'create', job: key },
      { summary: { created: 1, changed: 0, pruned: 0, unchanged: 0, failed: 0, unknown: 0, left: 0 } },
    ]);
  });

  it('exits 2 when a manifest cannot be understood, or options do not go together', async () => {
    const good = await manifest({ jobs: [] });
    const results = await Promise.all([
      apply(await manifest('jobs: [')),
      apply(join(folder, 'missing')),
      apply(good, '--exit-code'),
      apply(good, '--prune'),
      apply(good, '-f', '-', '-f', '-'),
    ]);
    expect(results.map(({ exitCode }) => exitCode)).toEqual([2, 2, 2, 2, 2]);
  });

  it('fires a one-shot that has just passed, and says so in its plan by no fire time', async () => {
    const at = new Date(Date.now() - 5_000).toISOString();
    const path = await manifest({ jobs: [{ name: 'just passed', schedules: [{ at }], target: worker }] });
    expect(await apply(path)).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await apply(path)).stdout).toContain('= unchanged just passed');
  });

  it('does not end well when nobody reads what it does any more', async () => {
    const { path, letGo } = await halfHeld('unread');
    const running = start(path);
    await running.awaitOutput('created unread/');
    running.process.stdout!.destroy();
    await letGo();
    const { stderr, exitCode } = await running.result;
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/ not begun; apply again to go on$/m);
  });

  it('makes one set of jobs when two apply at once; who came second says so', async () => {
    const jobs = Array.from({ length: 40 }, (_, i) => ({ name: `twice-${i}`, target: worker }));
    const path = await manifest({ owner: 'twice', group: 'twice', jobs });
    const results = await Promise.all([start(path).result, start(path).result]);
    for (const { stderr, exitCode } of results) {
      if (exitCode === 0) expect(stderr).toBe('');
      else expect(stderr).toContain('somebody has added it since the plan was made; apply again');
    }
    expect((await apply(path)).stdout).toMatch(/\n0 created, 0 changed, 0 pruned, 40 unchanged\n$/);
  });

  it('says how far it came when it is stopped, and goes on when it is applied again', async () => {
    const { path, letGo } = await halfHeld('stopped');
    const running = start(path);
    await running.awaitOutput('created stopped/');
    running.process.kill('SIGINT');
    await letGo();
    const { stderr, exitCode } = await running.result;
    expect(exitCode).toBe(130);
    const [, created, unknown, left] =
      /^(\d+) created, .* (\d+) not known, (\d+) not begun; apply again to go on$/m.exec(stderr)!;
    expect(Number(created) + Number(unknown) + Number(left)).toBe(300);
    expect(Number(left)).toBeGreaterThan(0);
    expect((await apply(path)).stdout).toMatch(/\n\d+ created, 0 changed, 0 pruned, \d+ unchanged\n$/);
    expect((await instance().jobs.list({ filter: { group: 'stopped' } })).totalSize).toBe(300n);
  });

  it('changes a job that fires more often than a limit that was lowered, as long as its timing stays', async () => {
    const often = (description: string, every: string) =>
      manifest({
        jobs: [
          {
            key: keyOf('often', 'lowered'),
            description,
            schedules: [{ interval: { every } }],
            target: worker,
          },
        ],
      });
    await apply(await often('first', '1s'));
    const limit = ['namespace', 'limit', 'lowered', '--executions-per-minute', '5'];
    expect(await runHere([...limit, '--address', instance().grpc])).toMatchObject({ exitCode: 0 });
    expect(await apply(await often('second', '1s'))).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await stored('often', 'lowered')).toMatchObject({ description: 'second' });
    const faster = await apply(await often('second', '2s'));
    expect([faster.exitCode === 0, faster.stderr]).toEqual([
      false,
      expect.stringContaining('30 times in a minute'),
    ]);
  });
});
