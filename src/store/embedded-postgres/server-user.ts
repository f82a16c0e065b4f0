import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The operating system user that Postgres runs as when Carillon itself is root. */
export type ServerUser = { readonly uid: number; readonly gid: number };

const userName = 'postgres';

/** True when this process is root, which Postgres refuses to run as. */
export const isRoot = (): boolean => process.getuid?.() === 0;

/**
 * Gets the unprivileged user `postgres`, and makes it when the system has none.
 * Two processes may do so at once: whoever comes second finds the user there.
 */
export async function getServerUser(): Promise<ServerUser> {
  const user = await findServerUser();
  if (user) return user;
  const failures: unknown[] = [];
  for (const commands of [shadowCommands, busyboxCommands]) {
    for (const [command, ...args] of commands) {
      // A group that is there already is no failure; what counts is the user in the end.
      await run(command, args).catch((error: unknown) => failures.push(error));
    }
    const created = await findServerUser();
    if (created) return created;
  }
  throw new Error(
    'Postgres does not run as root and no user "postgres" could be made: run Carillon as another user, or set DATABASE_URL to use an existing Postgres',
    { cause: new AggregateError(failures) },
  );
}

type Command = readonly [string, ...string[]];

/** Debian, Red Hat and most others. */
const shadowCommands: readonly Command[] = [
  ['groupadd', '--system', userName],
  ['useradd', '--system', '--gid', userName, '--no-create-home', '--shell', '/bin/false', userName],
];

/** Alpine and other systems on busybox. */
const busyboxCommands: readonly Command[] = [
  ['addgroup', '-S', userName],
  ['adduser', '-S', '-D', '-H', '-G', userName, '-s', '/bin/false', userName],
];

async function findServerUser(): Promise<ServerUser | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', userName]), run('id', ['-g', userName])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}
