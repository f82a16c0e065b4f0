/**
 * Turns a crontab into a manifest for `carillon apply`.
 *
 * A command becomes the parameters of a job whose target is a queue; a worker on
 * the machine of the crontab runs what comes (workerCommand). The defaults of
 * the manifest do what cron does: runs overlap, missed ones are dropped, nothing
 * is tried again, and no run is cut short.
 */
import { Document, isMap, isSeq, type Node } from 'yaml';
import type { Crontab, CrontabEntry, LineRemark } from './crontab-lines.ts';
import { nameEntries } from './crontab-names.ts';
import { importSchedule } from './crontab-schedule.ts';

/** What an import is told beside the crontab. */
export type ImportOptions = {
  /** Named in the manifest's first line. */
  readonly source: string;
  readonly queue: string;
  /** For entries that no variable gives a zone. */
  readonly zone: string;
  readonly owner?: string;
  readonly namespace?: string;
  readonly group: string;
};

/** A manifest, and what there is to say about the lines that it was made of. */
export type ImportedCrontab = {
  readonly manifest: string;
  readonly count: number;
  /** Lines that could not be imported, and why. */
  readonly refusals: readonly LineRemark[];
  readonly remarks: readonly LineRemark[];
};

/** Variables that speak to cron, not to commands. */
const cronVariables = new Set([
  'SHELL',
  'CRON_TZ',
  'MAILTO',
  'MAILFROM',
  'CONTENT_TYPE',
  'CONTENT_TRANSFER_ENCODING',
  'RANDOM_DELAY',
  'START_HOURS_RANGE',
  'CRON_WITHIN',
]);

/** Turns a crontab into a manifest. */
export function importCrontab(crontab: Crontab, options: ImportOptions): ImportedCrontab {
  const refusals: LineRemark[] = [...crontab.unreadable];
  const remarks = remarksOnVariables(crontab.entries);
  const names = nameEntries(crontab.entries);
  const queues = new Map<string, string | undefined>();
  const jobs = crontab.entries.flatMap((entry, i) => {
    const { line, user } = entry;
    const refuse = (text: string): [] => {
      refusals.push({ line, text });
      return [];
    };
    const schedule = importSchedule(entry, options.zone);
    if ('refusal' in schedule) return refuse(schedule.refusal);
    const shell = entry.variables.get('SHELL');
    const preamble = exportsOf(entry.variables);
    if (shell !== undefined && preamble !== '' && !/(^|\/)(ba|da|a|k|mk|z|)sh$/.test(shell)) {
      return refuse(`variables cannot be set for the shell ${shell}; set them in the command`);
    }
    remarks.push(...schedule.remarks.map((text) => ({ line, text })));
    const queue = user === undefined ? options.queue : `${options.queue}-${user}`;
    queues.set(queue, user);
    const job = {
      name: names[i]!,
      ...(entry.comment !== '' && { description: entry.comment }),
      schedules: [{ cron: schedule.expression, time_zone: schedule.timeZone }],
      ...(user !== undefined && { target: { worker: { queue } } }),
      parameters: {
        object: { command: `${preamble}${entry.command}`, ...(shell !== undefined && { shell }) },
        text: entry.input,
      },
    };
    return [{ line, job }];
  });
  refusals.sort((a, b) => a.line - b.line);
  return { manifest: manifestText(jobs, queues, options), count: jobs.length, refusals, remarks };
}

/** What runs the commands of a queue, for the shell. */
export const workerCommand = (queue: string, user?: string): string =>
  `${user === undefined ? '' : `sudo -u ${user} -H `}carillon worker run --queue ${quoted(queue)} --capacity 16` +
  ` --exec 'cd; exec "\${CARILLON_PARAM_SHELL:-/bin/sh}" -c "$CARILLON_PARAM_COMMAND"'`;

/** The variables of an entry as lines in front of its command. */
function exportsOf(variables: ReadonlyMap<string, string>): string {
  return [...variables]
    .filter(([name]) => !cronVariables.has(name) && /^[A-Za-z_]\w*$/.test(name))
    .map(([name, value]) => `export ${name}=${quoted(value)}\n${name === 'HOME' ? 'cd "$HOME"\n' : ''}`)
    .join('');
}

const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** What variables say to cron and Carillon does otherwise, once for each value. */
function remarksOnVariables(entries: readonly CrontabEntry[]): LineRemark[] {
  const found = new Map<string, LineRemark>();
  for (const { line, variables } of entries) {
    const mailTo = variables.get('MAILTO');
    const delay = variables.get('RANDOM_DELAY');
    const texts = [
      mailTo && `output becomes the log of the execution; no mail is sent to ${mailTo}`,
      delay && `RANDOM_DELAY=${delay} is left out; jitter: on a schedule spreads runs`,
    ];
    for (const text of texts) if (text && !found.has(text)) found.set(text, { line, text });
  }
  return [...found.values()];
}

function manifestText(
  jobs: readonly { readonly line: number; readonly job: object }[],
  queues: ReadonlyMap<string, string | undefined>,
  { source, owner, namespace, group, queue }: ImportOptions,
): string {
  const document = new Document({
    ...(owner !== undefined && { owner }),
    ...(namespace !== undefined && { namespace }),
    group,
    defaults: {
      overlap: 'allow',
      misfire: { policy: 'skip' },
      retry: { max_attempts: 1 },
      attempt_timeout: '7d',
      queue_timeout: '10m',
      ...(queues.size <= 1 && queues.has(queue) && { target: { worker: { queue } } }),
    },
    jobs: jobs.map(({ job }) => job),
  });
  document.commentBefore = headerOf(source, queues);
  const defaults = document.get('defaults', true) as unknown as Node;
  if (isMap(defaults)) {
    defaults.commentBefore =
      ' As cron does it: runs may overlap, missed ones are dropped, nothing is tried again, none is cut short.\n' +
      ' A run that no worker takes within the queue_timeout fails.';
  }
  const list = document.get('jobs', true) as unknown as Node;
  if (isSeq(list)) {
    for (const [i, item] of list.items.entries()) (item as Node).commentBefore = ` line ${jobs[i]!.line}`;
  }
  return `${document.toString({ lineWidth: 0 }).trimEnd()}\n`;
}

function headerOf(source: string, queues: ReadonlyMap<string, string | undefined>): string {
  const workers = [...queues].map(([queue, user]) => `   ${workerCommand(queue, user)}`);
  const lines = [
    ` From ${source}, for carillon apply -f. On the machine of the crontab this has to run:`,
    ' ',
    ...workers,
    ' ',
    ' Whoever may add or trigger jobs of such a queue can run any command there.',
  ];
  return lines.map((line) => line.replace(/[\n\r]/g, ' ')).join('\n');
}
