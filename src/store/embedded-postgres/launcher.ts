/**
 * How Postgres programs are started: as which user and with which rights.
 *
 * Postgres refuses to run as root, so as root its programs run as an
 * unprivileged user. That user often cannot reach them: a checkout below /root
 * (mode 0700) hides both the programs in node_modules and the data folder.
 * Changing the modes of folders that belong to others is out of the question.
 * Instead the programs keep one capability of root, to search folders and to
 * read (CAP_DAC_READ_SEARCH); containers commonly withhold that one, then
 * CAP_DAC_OVERRIDE. Postgres itself checks for user id 0 only.
 *
 *   - `setpriv` (util-linux) passes the capability on. initdb asks access(2)
 *     for its sibling program, which drops a non-root user's capabilities for
 *     the length of the call unless the secure bit no_setuid_fixup is set.
 *   - `setpriv --pdeathsig INT` also makes the kernel stop Postgres in its
 *     orderly way when Carillon is killed, so that no orphan stays behind.
 *   - Without setpriv (macOS, busybox) the programs run with a plain change of
 *     user. An orphan then lives until the next start stops it.
 *
 * Which of these works is not derived from modes, lists or versions but tried:
 * the first way in which the program answers `--version` from within the folder.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import type { ServerUser } from './server-user.ts';

/** One way to start programs. */
export type Launcher = {
  /** Says in the log which way it is. */
  readonly name: string;
  /** Starts a program. */
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
};

/** What `postgres --version` answered in the way that worked. */
export type LauncherChoice = { readonly launcher: Launcher; readonly majorVersion: number };

/**
 * Chooses the first way in which `postgres` can be run by the user from within
 * `folder`. Without a user the programs run as the user of this process.
 */
export async function chooseLauncher(
  postgres: string,
  folder: string,
  user: ServerUser | undefined,
): Promise<LauncherChoice> {
  const failures: string[] = [];
  for (const launcher of user ? launchersForUser(user) : launchersForSelf) {
    // access(2) inside Postgres is part of the trial: "invalid binary" means that initdb would not find its sibling.
    const { code, stdout, stderr } = await collect(
      launcher.spawn('sh', ['-c', 'cd "$1" && exec "$2" --version', 'sh', folder, postgres], {
        cwd: '/',
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    const version = /\(PostgreSQL\) (\d+)/.exec(stdout);
    if (code === 0 && version && !stderr.includes('invalid binary')) {
      return { launcher, majorVersion: Number(version[1]) };
    }
    failures.push(`${launcher.name}: ${stderr.trim() || `ended with ${code}`}`);
  }
  const who = user ? `user id ${user.uid}, which Postgres runs as because it refuses root,` : 'this user';
  throw new Error(
    `embedded Postgres cannot run: ${who} reaches neither ${folder} nor ${postgres}, or the program does not fit this system; ` +
      'set CARILLON_DATA_DIR to a folder that every user may enter and install Carillon in such a folder, ' +
      `or set DATABASE_URL to use an existing Postgres (tried ${failures.join('; ')})`,
  );
}

const endWithParent = ['--pdeathsig', 'INT'];

const launchersForSelf: readonly Launcher[] = [
  wrappedLauncher('this user', ['setpriv', ...endWithParent]),
  { name: 'this user without setpriv', spawn },
];

function launchersForUser(user: ServerUser): readonly Launcher[] {
  const ids = ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', ...endWithParent];
  const withCapability = (capability: string): Launcher =>
    wrappedLauncher(`server user with ${capability}`, [
      'setpriv',
      ...ids,
      ...[
        '--inh-caps',
        `+${capability}`,
        '--ambient-caps',
        `+${capability}`,
        '--securebits',
        '+no_setuid_fixup',
      ],
    ]);
  return [
    wrappedLauncher('server user', ['setpriv', ...ids]),
    // Before the ways with capabilities: where this works nothing more is needed.
    {
      name: 'server user without setpriv',
      spawn: (command, args, options) => spawn(command, args, { ...options, ...user }),
    },
    withCapability('dac_read_search'),
    withCapability('dac_override'),
  ];
}

function wrappedLauncher(name: string, [wrapper, ...wrapperArgs]: readonly string[]): Launcher {
  return {
    name,
    // setpriv replaces itself by the program, so the pid is the program's.
    spawn: (command, args, options) => spawn(wrapper as string, [...wrapperArgs, command, ...args], options),
  };
}

/** What a program wrote and how it ended; a program that cannot be started ends with -1. */
export type Outcome = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Resolves when the program has ended; never rejects. */
export function collect(child: ChildProcess): Promise<Outcome> {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', (error) => resolve({ code: -1, stdout, stderr: `${stderr}${error.message}` }));
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}
