import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { runHere } from './command-here.ts';
import {
  type CommandResult,
  startCallee,
  startCommand,
  type TestCallee,
  useCommands,
} from './command-line.ts';

const database = useTestDatabase();
useCommands();

let instance: InstanceProcess;
let callee: TestCallee;
/** Replies that were begun and that the test ends. */
const held: ServerResponse[] = [];

beforeAll(async () => {
  instance = await InstanceProcess.start({ databaseUrl: database.url });
  callee = await startCallee((response, path) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(`${JSON.stringify({ level: 'warn', message: 'red \u001b[31m\nnext', data: { n: 1 } })}\n`);
    if (path === '/held') held.push(response);
    else response.end(path === '/fails' ? `${JSON.stringify({ error: 'no luck' })}\n` : '');
  });
});

afterAll(async () => {
  callee?.server.close();
  callee?.server.closeAllConnections();
  instance?.close();
  await instance?.ended;
});

const run = (...args: string[]): Promise<CommandResult> => runHere([...args, '--address', instance.grpc]);

/** In a process of its own, as users do. */
const runApart = (...args: string[]): Promise<CommandResult> =>
  startCommand([...args, '--address', instance.grpc]).result;

async function trigger(name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('job', 'trigger', name, '--json', ...args);
  return (JSON.parse(stdout) as { execution: { id: string } }).execution.id;
}

describe('carillon job', () => {
  it('adds a job by options, shows it and deletes it', async () => {
    const added = await runApart(
      ...['job', 'add', 'nightly/report', '--cron', '0 3 * * *', '--zone', 'Europe/Berlin'],
      ...['--url', callee.url, '--header', 'X-Team: ops', '--param', 'size=large', '--timeout', '1m30s'],
    );
    expect(added.exitCode).toBe(0);
    expect(added.stderr).toMatch(/^schedule "0" means .*\n$/);
    expect(added.stdout).toMatch(/^added nightly\/report \(id \d+\) ACTIVE, fires next at \S+Z\n$/);
    const { stdout } = await runApart('job', 'get', 'nightly/report', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      key: { namespace: 'default', group: 'nightly', name: 'report' },
      schedules: [{ cron: { expression: '0 3 * * *', timeZone: 'Europe/Berlin' } }],
      target: { http: { url: callee.url, headers: { 'X-Team': 'ops' } } },
      parameters: { list: [{ name: 'size', value: 'large' }] },
      attemptTimeout: '90s',
    });
    expect((await runApart('job', 'list', '--group', 'nightly')).stdout).toMatch(
      /^NAME .*\nnightly\/report {2}ACTIVE/,
    );
    expect((await runApart('job', 'delete', 'nightly/report')).stdout).toBe('deleted nightly/report\n');
  });

  it('says code, reason and field on standard error and exits 1 when a call is refused', async () => {
    const refused = await runApart('job', 'add', 'never', '--cron', '0 0 31 2 *', '--url', callee.url);
    expect(refused).toMatchObject({ exitCode: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /^INVALID_ARGUMENT \(INVALID_SCHEDULE\): job\.schedules\[0\]\.cron\.expression: .*\n$/,
    );
  });

  it('exits 2 when the command line cannot be understood', async () => {
    const [unknown, incomplete, malformed] = await Promise.all([
      runApart('job', 'list', '--bogus'),
      runApart('job', 'get'),
      runApart('job', 'add', 'x', '--url', callee.url, '--every', 'soon'),
    ]);
    expect([unknown.exitCode, incomplete.exitCode, malformed.exitCode]).toEqual([2, 2, 2]);
    expect(malformed.stderr).toContain('90s');
  });

  it('pauses, resumes and replays a trigger with the same request id', async () => {
    await run('job', 'add', 'held', '--url', callee.url);
    expect((await run('job', 'pause', 'held', '--reason', 'why not')).stdout).toMatch(
      /^paused held .* PAUSED/,
    );
    expect((await run('job', 'resume', 'held')).stdout).toMatch(/^resumed held .* ACTIVE/);
    const id = await trigger('held', '--request-id', 'r-1', '--text', 'hello');
    const again = await run('job', 'trigger', 'held', '--request-id', 'r-1', '--text', 'hello');
    expect(again.stdout).toMatch(new RegExp(`^execution ${id} .*replayed`));
  });

  it('previews schedules that are not saved', async () => {
    const args = [
      '--cron',
      '30 2 * * *',
      '--zone',
      'Europe/Berlin',
      '--from',
      '2027-03-27T12:00:00Z',
      '--count',
      '1',
    ];
    const { stdout } = await run('job', 'preview', ...args);
    expect(stdout.split('\n')[1]).toMatch(/^2027-03-28T01:00:00.000Z {2}2027-03-28T03:00:00\+02:00 .* gap/);
  });
});

describe('carillon execution', () => {
  it('prints the log on harmless lines and exits 0 when the execution succeeded', async () => {
    await run('job', 'add', 'fine', '--url', callee.url);
    const id = await trigger('fine');
    const { stdout, stderr, exitCode } = await run('execution', 'logs', id, '--follow');
    expect(stdout).toMatch(/^\d{4}-\S+Z WARN {2}red \\x1b\[31m\\nnext \{"n":1\}\n$/);
    expect(stderr).toContain(`${id} SUCCEEDED`);
    expect(exitCode).toBe(0);
    expect((await run('execution', 'list', '--job', 'fine')).stdout).toContain(`${id}  fine  SUCCEEDED`);
  });

  it('exits 1 when the execution that it follows failed', async () => {
    await run('job', 'add', 'fails', '--url', `${callee.url}/fails`, '--retry-max', '1');
    const { stderr, exitCode } = await run('execution', 'logs', await trigger('fails'), '--follow');
    expect(stderr).toContain('FAILED');
    expect(exitCode).toBe(1);
  });

  it('watches a job until Ctrl-C', async () => {
    await run('job', 'add', 'watched', '--url', `${callee.url}/held`);
    const watching = startCommand(['execution', 'watch', 'watched', '--address', instance.grpc]);
    const id = await trigger('watched');
    await watching.awaitOutput('WARN');
    held.splice(0).forEach((response) => void response.end());
    await watching.awaitOutput(`${id} SUCCEEDED`);
    watching.process.kill('SIGINT');
    expect(await watching.result).toMatchObject({ exitCode: 130, stderr: '' });
  });
});

describe('bin/carillon.js', () => {
  const systemNode = '/usr/bin/node';
  const version = existsSync(systemNode)
    ? Number.parseInt(spawnSync(systemNode, ['--version'], { encoding: 'utf8' }).stdout.slice(1), 10)
    : undefined;

  it.runIf(version !== undefined && version < 24)(
    'runs on an older Node with the one of the package',
    async () => {
      const help = await startCommand(['--help'], { node: systemNode }).result;
      expect(help).toMatchObject({ exitCode: 0, stderr: '' });
      for (const name of ['serve', 'migrate', 'job', 'execution']) expect(help.stdout).toContain(name);
      await run('job', 'add', 'watched', '--url', `${callee.url}/held`, '--replace');
      const id = await trigger('watched');
      const watching = startCommand(['execution', 'watch', 'watched', '--address', instance.grpc], {
        node: systemNode,
      });
      await watching.awaitOutput(id);
      watching.process.kill('SIGINT');
      expect((await watching.result).exitCode).toBe(130);
    },
  );
});
