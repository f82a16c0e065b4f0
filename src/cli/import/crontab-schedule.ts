import { CronSyntaxError, compileCron } from '../../domain/schedule/cron-expression.ts';
import { Zone } from '../../domain/schedule/zone.ts';
import type { CrontabEntry } from './crontab-lines.ts';

/** When an entry fires, as a schedule of a manifest, or why that cannot be said. */
export type ImportedSchedule =
  | { readonly expression: string; readonly timeZone: string; readonly remarks: readonly string[] }
  | { readonly refusal: string };

/** Reads when an entry fires. `zone` is that of the machine, for entries that no variable gives one. */
export function importSchedule({ schedule, variables }: CrontabEntry, zone: string): ImportedSchedule {
  const given = variables.get('CRON_TZ') ?? variables.get('TZ');
  const timeZone = Zone.find((given ?? zone).replace(/^:/, '')) as { readonly name: string } | undefined;
  if (!timeZone) return { refusal: `${JSON.stringify(given ?? zone)} is no IANA time zone` };
  const expression = { '@every_minute': '* * * * *' }[schedule.toLowerCase()] ?? schedule;
  const refusal = refusalOf(expression);
  if (refusal !== undefined) return { refusal };
  const remarks: string[] = [];
  if (!variables.has('CRON_TZ') && given) {
    remarks.push('TZ is taken for the time zone of the schedule; many crons hand it to the command only');
  }
  if (isShiftedByClocks(expression, timeZone.name)) {
    remarks.push(
      'when clocks change, cron makes up for hours of a range that are skipped and leaves out those that come twice; Carillon goes by the clock',
    );
  }
  return { expression, timeZone: timeZone.name, remarks };
}

function refusalOf(expression: string): string | undefined {
  if (/^@reboot$/i.test(expression)) {
    return '@reboot: Carillon knows nothing of reboots; start the command by the machine, or trigger a job when it is up';
  }
  if (/^@every/i.test(expression) || /^@\d/.test(expression)) {
    return `${expression} is not known to all crons; write a schedule with every: by hand`;
  }
  const step = /(?:^|[\s,])(\d+)\/(\d+)/.exec(expression);
  if (step) {
    return `${step[1]}/${step[2]} is ${step[1]} alone to many crons, and to Carillon every ${step[2]} from ${step[1]} on; write ${step[1]}, or a range`;
  }
  if (expression.includes('~'))
    return 'a random time (~) is not known; write H, or H with a range, which always draws the same';
  try {
    compileCron(expression, 'UNIX', 0);
    return undefined;
  } catch (error) {
    if (error instanceof CronSyntaxError) return error.message;
    throw error;
  }
}

/** Whether cron and Carillon differ on the days when clocks change: hours written as a range, at night. */
function isShiftedByClocks(expression: string, timeZone: string): boolean {
  const hours = expression.split(' ')[1] ?? '';
  const range = /^(\d+)-(\d+)/.exec(hours);
  if (!range || Number(range[1]) > 3) return false;
  const offsets = [0, 6].map(
    (month) =>
      new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
        .formatToParts(Date.UTC(2026, month, 1))
        .find(({ type }) => type === 'timeZoneName')?.value,
  );
  return offsets[0] !== offsets[1];
}
