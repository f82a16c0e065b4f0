/**
 * Reads a crontab, in the form of a user or, with a user in each line, that of
 * the system (/etc/crontab, /etc/cron.d).
 *
 *     NAME = value        holds for the lines below; quotes around it fall away,
 *                         nothing is expanded
 *     m h dom mon dow     or @daily and its like, then the command
 *     %                   ends the command; what follows is its standard input,
 *                         further ones are line ends; \% is a % sign
 */

/** An entry of a crontab. */
export type CrontabEntry = {
  /** From 1. */
  readonly line: number;
  /** Five fields, or a word that begins with @. */
  readonly schedule: string;
  /** In the form of the system. */
  readonly user?: string;
  readonly command: string;
  /** What the command reads from its standard input. */
  readonly input: string;
  /** What was set above it. */
  readonly variables: ReadonlyMap<string, string>;
  /** The comment right above it. */
  readonly comment: string;
};

/** Something to say about a line. */
export type LineRemark = { readonly line: number; readonly text: string };

/** A crontab that has been read. */
export type Crontab = {
  readonly entries: readonly CrontabEntry[];
  /** Lines that are neither an entry nor a variable. */
  readonly unreadable: readonly LineRemark[];
};

const variablePattern = /^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z_]\w*))\s*=\s*(.*?)\s*$/;
const fieldsPattern = /^(?:@\S+|\S+(?:\s+\S+){4})(?=\s|$)/;

/** Reads the text of a crontab. */
export function readCrontab(text: string, { hasUsers }: { readonly hasUsers: boolean }): Crontab {
  const entries: CrontabEntry[] = [];
  const unreadable: LineRemark[] = [];
  let variables: ReadonlyMap<string, string> = new Map();
  let comments: string[] = [];
  for (const [i, raw] of text.split('\n').entries()) {
    const line = i + 1;
    const content = raw.replace(/\r$/, '').trimStart();
    if (content.startsWith('#')) {
      comments.push(content.replace(/^#+\s?/, '').trimEnd());
      continue;
    }
    const comment = descriptionOf(comments);
    comments = [];
    if (content === '') continue;
    const variable = variablePattern.exec(content);
    if (variable) {
      const [, double, single, bare, value] = variable;
      variables = new Map([...variables, [(double ?? single ?? bare)!, unquoted(value!)]]);
      continue;
    }
    const entry = readEntry(content, hasUsers);
    if (typeof entry === 'string') unreadable.push({ line, text: entry });
    else entries.push({ line, ...entry, variables, comment });
  }
  return { entries, unreadable };
}

function readEntry(
  content: string,
  hasUsers: boolean,
): Pick<CrontabEntry, 'schedule' | 'user' | 'command' | 'input'> | string {
  // SUSE's cron takes a dash in front: the run is not logged.
  const text = content.replace(/^-(?=[\d*])/, '');
  const fields = fieldsPattern.exec(text)?.[0];
  if (fields === undefined) return 'is neither a variable nor five fields and a command';
  const schedule = fields.replace(/\s+/g, ' ');
  let rest = text.slice(fields.length).trim();
  let user: string | undefined;
  if (hasUsers) {
    [user = ''] = rest.split(/\s/, 1);
    rest = rest.slice(user.length).trimStart();
    // FreeBSD's cron takes a group and a login class behind it.
    user = user.replace(/[:/].*$/, '');
    if (!/^[A-Za-z_][\w.-]*\$?$/.test(user)) return 'has no user behind its fields';
  }
  const { command, input } = splitCommand(rest);
  if (command === '') return hasUsers ? 'has no command behind the user' : 'has no command behind its fields';
  return { schedule, command, input, ...(user !== undefined && { user }) };
}

/** The command and its standard input, told apart by the first % without a backslash. */
function splitCommand(text: string): { readonly command: string; readonly input: string } {
  const [command = '', ...lines] = text.split(/(?<!\\)%/).map((part) => part.replaceAll('\\%', '%'));
  return { command: command.trim(), input: lines.join('\n') };
}

const unquoted = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;

/** The longest comment that is taken for a description, in lines; a longer one is about the file. */
const maxCommentLines = 5;

/** What a comment says of the entry below it; nothing where it is a heading or an entry that was switched off. */
function descriptionOf(comments: readonly string[]): string {
  const isOther = (line: string): boolean =>
    /^(@\w+|[\d*][\d*,/-]*(\s+[\w*,/-]+){4})\s+\S/.test(line) || /\bdom\b.*\bmon\b.*\bdow\b/.test(line);
  const said = comments.filter((line) => /\w/.test(line));
  if (said.length === 0 || said.length > maxCommentLines || said.some(isOther)) return '';
  return said.join(' ').replace(/\s+/g, ' ').trim().slice(0, 2_000);
}
