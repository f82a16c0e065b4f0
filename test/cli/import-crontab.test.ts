import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { readManifests } from '../../src/cli/apply/manifests.ts';
import { readCrontab } from '../../src/cli/import/crontab-lines.ts';
import { importCrontab, workerCommand } from '../../src/cli/import/crontab-manifest.ts';
import { nameEntries } from '../../src/cli/import/crontab-names.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstance } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { binaryPath, startCommand, useCommands } from './command-line.ts';

const options = { source: 'tab', queue: 'q', zone: 'UTC', group: 'crontab' };

/** What becomes of a crontab: its jobs, as apply reads them, and what is said of its lines. */
function imported(text: string, { hasUsers = false, zone = 'UTC' } = {}) {
  const { manifest, refusals, remarks } = importCrontab(readCrontab(text, { hasUsers }), {
    ...options,
    zone,
  });
  const { manifests, problems } = readManifests([{ name: 'made', text: manifest }]);
  expect(problems).toEqual([]);
  const jobs = manifests[0]!.jobs.map(({ job }) => job);
  return {
    jobs,
    commands: jobs.map(({ parameters }) => parameters!.object!.command),
    crons: jobs.map(({ schedules: [schedule] }) =>
      schedule?.kind.case === 'cron'
        ? `${schedule.kind.value.expression} ${schedule.kind.value.timeZone}`
        : '',
    ),
    refusals: refusals.map(({ line, text: why }) => `${line}: ${why}`),
    remarks: remarks.map(({ line, text: why }) => `${line}: ${why}`),
  };
}

describe('a line of a crontab', () => {
  it.each<[string, string, string]>([
    ['0 2 * * * backup', '0 2 * * * UTC', 'backup'],
    ['  0\t2  * * MON-FRI   backup  --all ', '0 2 * * MON-FRI UTC', 'backup  --all'],
    ['@Daily backup', '@Daily UTC', 'backup'],
    ['-*/5 * * * * quiet', '*/5 * * * * UTC', 'quiet'],
    ['@every_minute x', '* * * * * UTC', 'x'],
    ['0 0 1 * 0 x # not a comment', '0 0 1 * 0 UTC', 'x # not a comment'],
    ['0 2 * * * date +\\%F', '0 2 * * * UTC', 'date +%F'],
  ])('%j fires by %s', (line, cron, command) => {
    const { crons, commands, refusals } = imported(line);
    expect({ crons, commands, refusals }).toEqual({ crons: [cron], commands: [command], refusals: [] });
  });

  it.each([
    ['0 2 * * * mail x%Hello%there\\%', 'mail x', 'Hello\nthere%'],
    ['0 2 * * * cat%', 'cat', ''],
    ['0 2 * * * cat%a%', 'cat', 'a\n'],
    ['0 2 * * * cat', 'cat', ''],
  ])('%j ends its command at the first %% and gives it the rest to read', (line, command, input) => {
    const [job] = imported(line).jobs;
    expect(job!.parameters).toMatchObject({ object: { command }, text: input });
  });

  it.each([
    [
      '@reboot x',
      '1: @reboot: Carillon knows nothing of reboots; start the command by the machine, or trigger a job when it is up',
    ],
    [
      '5/10 * * * * x',
      '1: 5/10 is 5 alone to many crons, and to Carillon every 10 from 5 on; write 5, or a range',
    ],
    [
      '0~30 * * * * x',
      '1: a random time (~) is not known; write H, or H with a range, which always draws the same',
    ],
    ['0 25 * * * x', '1: hour field, position 3: 25 is out of range; write 0 to 23'],
    ['0 2 * * *', '1: has no command behind its fields'],
    ['0 2 * x', '1: is neither a variable nor five fields and a command'],
    ['CRON_TZ=Mars/Base\n0 2 * * * x', '2: "Mars/Base" is no IANA time zone'],
    [
      'SHELL=/bin/csh\nA=b\n0 2 * * * x',
      '3: variables cannot be set for the shell /bin/csh; set them in the command',
    ],
  ])('%j cannot be imported', (text, why) => {
    expect(imported(text)).toMatchObject({ jobs: [], refusals: [why] });
  });

  it('of the system has a user, whose queue it gets', () => {
    const text = '0 2 * * *\troot\tcd / && x\n0 3 * * * www-data:www/daemon y\n0 4 * * * z\n';
    const { jobs, commands, refusals } = imported(text, { hasUsers: true });
    expect(commands).toEqual(['cd / && x', 'y']);
    expect(jobs.map(({ target }) => (target?.kind.case === 'worker' ? target.kind.value.queue : ''))).toEqual(
      ['q-root', 'q-www-data'],
    );
    expect(refusals).toEqual(['3: has no command behind the user']);
  });
});

describe('variables of a crontab', () => {
  it('hold for the lines below, are set in front of the command, and expand nothing', () => {
    const text = "A = \"b c\"\n0 1 * * * x\nB='$A'\nHOME=/srv\nA=it's\n0 2 * * * y";
    expect(imported(text).commands).toEqual([
      "export A='b c'\nx",
      "export A='it'\\''s'\nexport B='$A'\nexport HOME=/srv\ncd \"$HOME\"\ny",
    ]);
  });

  it('say the shell and the zone', () => {
    const text = '0 1 * * * a\nSHELL=/bin/bash\nCRON_TZ=Europe/Berlin\nTZ=Asia/Tokyo\n0 2 * * * b';
    const { jobs, crons, remarks } = imported(text, { zone: 'America/New_York' });
    expect(crons).toEqual(['0 1 * * * America/New_York', '0 2 * * * Europe/Berlin']);
    expect(jobs[1]!.parameters!.object).toEqual({ command: 'export TZ=Asia/Tokyo\nb', shell: '/bin/bash' });
    expect(remarks).toEqual([]);
  });

  it('are remarked on where Carillon does otherwise', () => {
    const text = 'MAILTO=ops\nTZ=Europe/Berlin\n30 1-3 * * * a\n0 9-17 * * * b\nMAILTO=""\n0 5 * * * c';
    expect(imported(text).remarks).toEqual([
      '3: output becomes the log of the execution; no mail is sent to ops',
      '3: TZ is taken for the time zone of the schedule; many crons hand it to the command only',
      expect.stringMatching(/^3: when clocks change, /),
      '4: TZ is taken for the time zone of the schedule; many crons hand it to the command only',
      '6: TZ is taken for the time zone of the schedule; many crons hand it to the command only',
    ]);
  });
});

describe('the jobs of a crontab', () => {
  it('are described by the comment right above, unless it is a heading or was switched off', () => {
    const text =
      '# m h  dom mon dow   command\n0 1 * * * a\n# Cleans\n#  up\n0 2 * * * b\n# far\n\n0 3 * * * c\n#0 4 * * * old\n0 5 * * * d';
    expect(imported(text).jobs.map(({ description }) => description)).toEqual(['', 'Cleans up', '', '']);
  });

  it('run as cron runs them', () => {
    expect(imported('* * * * * x').jobs[0]).toMatchObject({
      overlap: 5,
      misfire: { policy: 1 },
      retry: { maxAttempts: 1 },
      attemptTimeout: { seconds: 604_800n },
    });
  });

  it.each([
    ['/usr/local/bin/backup.sh --full >/dev/null 2>&1', 'backup-full'],
    ['cd /srv/app && php artisan schedule:run >> /dev/null 2>&1', 'php-artisan-schedule-run'],
    ['[ -x /usr/bin/x ] && A=b C="d e" "/opt/my tool/run.py" | logger', 'my-run'],
    [
      'test -x /usr/sbin/anacron || ( cd / && run-parts --report /etc/cron.daily )',
      'run-parts-report-cron.daily',
    ],
    ['/usr/bin/', 'bin'],
    ['$(x)', 'command'],
    ['a'.repeat(300), 'a'.repeat(60)],
  ])('%j is named %s', (command, name) => {
    expect(
      nameEntries(readCrontab(`0 1 * * * ${command.replaceAll('%', '\\%')}`, { hasUsers: false }).entries),
    ).toEqual([name]);
  });

  it('keep their names when lines are put in elsewhere, and have different ones', () => {
    const namesOf = (text: string) => nameEntries(readCrontab(text, { hasUsers: false }).entries);
    const [a, b, c] = namesOf('0 1 * * * x\n0 2 * * * x\n0 2 * * * x');
    expect(new Set([a, b, c]).size).toBe(3);
    expect(namesOf('0 5 * * * other\n\n0 1 * * * x\n0 9 * * * more\n0 2 * * * x')).toEqual([
      'other',
      a,
      'more',
      b,
    ]);
  });
});

describe('carillon import crontab', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({ databaseUrl: database.url }));
  useCommands();
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'carillon-import-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('makes a manifest that apply takes, whose commands a worker runs as the manifest says', async () => {
    const [tab, manifest] = [join(folder, 'tab'), join(folder, 'jobs.yaml')];
    const line = `cat; echo "$GREETING" 'it'"'"'s' \\%; [ "$PWD" = ~ ] && echo home; echo "$0"`;
    await writeFile(tab, `GREETING=hello there\nSHELL=/bin/bash\n0 0 1 1 * ${line}%from cron%\n`);
    const made = await startCommand([
      ...['import', 'crontab', tab, '--queue', 'tab', '--zone', 'UTC'],
      '-o',
      manifest,
    ]).result;
    expect(made).toEqual({ stdout: '', stderr: `wrote 1 jobs to ${manifest}\n`, exitCode: 0 });
    const address = ['--address', instance().grpc];
    const applied = await startCommand(['apply', '-f', manifest, ...address]).result;
    const [, name] = /^created (\S+)$/m.exec(applied.stdout)!;

    // The very line of the manifest, but for where the program and the instance are.
    const words = workerCommand('tab').replace('carillon', `${process.execPath} ${binaryPath}`);
    const args = /--exec '(.*)'$/.exec(words)!;
    startCommand(['worker', 'run', '--queue', 'tab', '--exec', args[1]!, ...address]);
    const { execution } = await instance().jobs.trigger({
      job: { ref: { case: 'key', value: { group: 'crontab', name: name!.replace('crontab/', '') } } },
    });
    await awaitThat('the command has run', async () => {
      const { execution: now } = await instance().executions.get({ executionId: execution!.id });
      return now?.state === ExecutionState.SUCCEEDED || undefined;
    });
    const { entries } = await instance().executions.listLogs({ executionId: execution!.id });
    expect(entries.map(({ message }) => message)).toEqual([
      'from cron',
      "hello there it's %",
      'home',
      '/bin/bash',
    ]);
  });

  it('writes nothing and exits 1 when a line cannot be imported, unless it is told to leave such lines out', async () => {
    const tab = join(folder, 'mixed');
    await writeFile(tab, '@reboot x\n0 2 * * * y\n');
    const args = ['import', 'crontab', tab, '--zone', 'UTC', '--queue', 'q'];
    const refused = await startCommand(args).result;
    expect(refused).toMatchObject({ stdout: '', exitCode: 1 });
    expect(refused.stderr).toContain(`${tab}:1: cannot be imported: @reboot`);
    const partial = await startCommand([...args, '--skip-unsupported']).result;
    expect(partial.exitCode).toBe(0);
    expect(partial.stdout).toContain('- name: y\n');
    expect(partial.stderr).toContain(`${tab}:1: left out: @reboot`);
  });
});
