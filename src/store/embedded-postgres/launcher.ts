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
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Binaries } from './binaries.ts';
import type { ServerUser } from './server-user.ts';

/** One way to start programs. */
export type Launcher = {
  /** Says in the log which way it is. */
  readonly name: string;
  /** Starts a program in a session of its own, so that Ctrl-C at the terminal does not reach it. */
  spawn(command: string, args: readonly string[], stdio: StdioOptions): ChildProcess;
};

/** The programs, the way to start them, and the user they run as (undefined: the user of this process). */
export type Installation = {
  readonly binaries: Binaries;
  readonly launcher: Launcher;
  readonly user: ServerUser | undefined;
};

/** The way that worked, and which Postgres it runs. */
export type LauncherChoice = { readonly launcher: Launcher; readonly majorVersion: number };

/** Where setpriv, sh and what initdb calls are looked up. */
export const systemPath =
  '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin:/opt/homebrew/bin';

/** What the programs are to be run with. */
export type LauncherOptions = {
  readonly postgres: string;
  /** The folder that programs must be able to enter. */
  readonly folder: string;
  /** Undefined: the programs run as the user of this process. */
  readonly user: ServerUser | undefined;
  /** Default `systemPath`. */
  readonly searchPath?: string;
};

/** Chooses the first way in which `postgres` can be run from within the folder; throws when there is none. */
export async function chooseLauncher(options: LauncherOptions): Promise<LauncherChoice> {
  const { postgres, folder, user, searchPath = systemPath } = options;
  const failures: string[] = [];
  for (const { name, prefix, switchUser } of user ? waysForUser(user) : waysForSelf) {
    const launcher = launcherFor(name, prefix, switchUser ? user : undefined, searchPath);
    const { code, stdout, stderr } = await tryVersion(launcher, folder, postgres);
    const version = /\(PostgreSQL\) (\d+)/.exec(stdout);
    // access(2) inside Postgres is part of the trial: after "invalid binary" initdb would not find its sibling.
    if (code === 0 && version && !stderr.includes('invalid binary')) {
      return { launcher, majorVersion: Number(version[1]) };
    }
    failures.push(`${name}: ${stderr.trim() || `ended with ${code}`}`);
  }
  const who = user ? `user id ${user.uid}, which Postgres runs as because it refuses root,` : 'this user';
  throw new Error(
    `embedded Postgres cannot run: ${who} cannot enter ${folder} or run ${postgres}; ` +
      'set CARILLON_DATA_DIR to a folder that every user may enter and install Carillon in such a folder, ' +
      `or set DATABASE_URL to use an existing Postgres (tried ${failures.join('; ')})`,
  );
}

async function tryVersion(launcher: Launcher, folder: string, postgres: string): Promise<Outcome> {
  try {
    const args = ['-c', 'cd "$1" && exec "$2" --version', 'sh', folder, postgres];
    return await collect(launcher.spawn('sh', args, ['ignore', 'pipe', 'pipe']));
  } catch (error) {
    // Some failures of spawn are thrown and not reported: no right to change the user is one.
    return { code: -1, stdout: '', stderr: String(error) };
  }
}

type Way = {
  readonly name: string;
  /** What stands before the program on the command line. */
  readonly prefix: readonly string[];
  /** Whether spawn itself changes the user, because nothing in the prefix does. */
  readonly switchUser?: boolean;
};

const endWithParent = ['--pdeathsig', 'INT'];

const waysForSelf: readonly Way[] = [
  { name: 'own user', prefix: ['setpriv', ...endWithParent] },
  { name: 'own user without setpriv', prefix: [] },
];

function waysForUser(user: ServerUser): readonly Way[] {
  const setpriv = [
    'setpriv',
    '--reuid',
    `${user.uid}`,
    '--regid',
    `${user.gid}`,
    '--clear-groups',
    ...endWithParent,
  ];
  const withCapability = (capability: string): Way => ({
    name: `server user with ${capability}`,
    prefix: [
      ...setpriv,
      ...[
        '--inh-caps',
        `+${capability}`,
        '--ambient-caps',
        `+${capability}`,
        '--securebits',
        '+no_setuid_fixup',
      ],
    ],
  });
  return [
    { name: 'server user', prefix: setpriv },
    // Before the ways with capabilities: where this one works nothing more is needed.
    { name: 'server user without setpriv', prefix: [], switchUser: true },
    withCapability('dac_read_search'),
    withCapability('dac_override'),
  ];
}

function launcherFor(
  name: string,
  prefix: readonly string[],
  user: ServerUser | undefined,
  searchPath: string,
): Launcher {
  return {
    name,
    spawn(command, args, stdio) {
      // setpriv replaces itself by the program, so the pid is the program's.
      const [program = command, ...rest] = [...prefix, command, ...args];
      // Nothing of this process's environment: PGOPTIONS, LD_PRELOAD and secrets are not for the server.
      const env = { PATH: searchPath, LC_ALL: 'C' };
      return spawn(program, rest, { cwd: '/', env, detached: true, stdio, ...user });
    },
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
