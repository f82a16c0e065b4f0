import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError } from 'commander';
import {
  AdminServiceDeleteCalendarResponseSchema,
  AdminServicePutCalendarResponseSchema,
} from '../../gen/carillon/v1/admin_service_pb.js';
import { CalendarSchema, type DateRangeSchema, Weekday } from '../../gen/carillon/v1/calendar_pb.js';
import { CronDialect } from '../../gen/carillon/v1/schedule_pb.js';
import {
  calendarNameToText,
  calendarProperties,
  calendarRow,
  calendarSummary,
  calendarTitles,
} from './calendar-lines.ts';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { enumFromText, integerFromText, repeated } from './option-values.ts';
import { takeItems } from './pages.ts';

type CalendarOptions = ClientOptions & { readonly namespace?: string };

/** Adds `carillon calendar …`: what AdminService does with calendars. */
export function declareCalendarCommands(program: Command): void {
  const group = program
    .command('calendar')
    .description('Keep the days and times that schedules leave out, as calendars that jobs name');
  declarePut(group);
  declareGet(group);
  declareList(group);
  declareDelete(group);
}

const calendarCommand = (group: Command, usage: string, summary: string): Command =>
  clientCommand(group, usage, summary).option(
    '--namespace <namespace>',
    'the namespace of the calendar and of the jobs that use it (default: default)',
  );

function declarePut(group: Command): void {
  type DateRange = MessageInitShape<typeof DateRangeSchema>;
  type Options = CalendarOptions & {
    readonly date?: readonly string[];
    readonly range?: readonly DateRange[];
    readonly weekday?: readonly Weekday[];
    readonly yearly?: readonly string[];
    readonly cron?: readonly string[];
    readonly dialect?: CronDialect;
    readonly zone?: string;
    readonly description?: string;
  };
  const command = calendarCommand(
    group,
    'put <name>',
    'Make a calendar, or replace all of what one excludes',
  );
  command
    .option('--date <date>', 'exclude a day, such as 2026-12-25; repeatable', repeated(String))
    .option(
      '--range <first..last>',
      'exclude days, such as 2026-12-24..2027-01-02; repeatable',
      repeated(dateRangeFromText),
    )
    .option(
      '--weekday <day>',
      'exclude a day of every week, such as sat; repeatable',
      repeated(weekdayFromText),
    )
    .option('--yearly <day>', 'exclude a day of every year, such as 12-25; repeatable', repeated(String))
    .option(
      '--cron <expression>',
      "exclude local times, such as '* 0-7 * * *', every night until eight; repeatable",
      repeated(String),
    )
    .option(
      '--dialect <dialect>',
      'the grammar of --cron: unix (default) or quartz',
      enumFromText<CronDialect>(CronDialect),
    )
    .option('--zone <zone>', 'where days begin and end, such as Europe/Berlin (default: UTC)')
    .option('--description <text>', 'a description for people')
    .action(async (name: string, options: Options) => {
      const { namespace, date = [], range = [], weekday = [], yearly = [], cron = [], dialect } = options;
      if (dialect !== undefined && cron.length === 0) command.error('error: --dialect belongs to --cron');
      const calendar = create(CalendarSchema, {
        namespace,
        name,
        description: options.description,
        timeZone: options.zone,
        dates: [...date],
        dateRanges: [...range],
        weekdays: [...weekday],
        yearlyDays: [...yearly],
        crons: cron.map((expression) => ({ expression, dialect })),
      });
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.putCalendar({ calendar });
        if (output.isJson) return output.message(AdminServicePutCalendarResponseSchema, reply);
        const word = reply.created ? 'made' : 'replaced';
        await output.line(`${word} ${reply.calendar ? calendarSummary(reply.calendar) : ''}`);
      });
    });
}

function declareGet(group: Command): void {
  calendarCommand(group, 'get <name>', 'Show a calendar').action(
    async (name: string, options: CalendarOptions) => {
      await callService(options, async ({ admin, output }) => {
        const { namespace } = options;
        const { calendar = create(CalendarSchema) } = await admin.getCalendar({ namespace, name });
        if (output.isJson) return output.message(CalendarSchema, calendar);
        await output.properties(calendarProperties(calendar));
      });
    },
  );
}

function declareList(group: Command): void {
  type Options = CalendarOptions & { readonly limit: number };
  calendarCommand(group, 'list', 'List the calendars of a namespace by name')
    .option('--limit <n>', 'how many at most', integerFromText(1), 100)
    .action(async (options: Options) => {
      const { namespace, limit } = options;
      await callService(options, async ({ admin, output }) => {
        const found = await takeItems(limit, output, async (page) => {
          const { calendars: items, nextPageToken } = await admin.listCalendars({ namespace, ...page });
          return { items, nextPageToken };
        });
        if (!output.isJson) return output.table(calendarTitles, found.map(calendarRow));
        for (const calendar of found) await output.message(CalendarSchema, calendar);
      });
    });
}

function declareDelete(group: Command): void {
  calendarCommand(group, 'delete <name>', 'Delete a calendar that no job uses').action(
    async (name: string, options: CalendarOptions) => {
      await callService(options, async ({ admin, output }) => {
        const { namespace = '' } = options;
        const reply = await admin.deleteCalendar({ namespace, name });
        if (output.isJson) return output.message(AdminServiceDeleteCalendarResponseSchema, reply);
        const shown = calendarNameToText(namespace, name);
        await output.line(reply.existed ? `deleted ${shown}` : `there was no ${shown}`);
      });
    },
  );
}

/** Reads `first..last`; whether these are days is for the service to say. */
function dateRangeFromText(text: string): MessageInitShape<typeof DateRangeSchema> {
  const [firstDate, lastDate, ...more] = text.split('..');
  if (!firstDate || !lastDate || more.length > 0) {
    throw new InvalidArgumentError('A range looks like 2026-12-24..2027-01-02.');
  }
  return { firstDate, lastDate };
}

/** Reads a day of the week by its name or the first three letters of it, any case. */
function weekdayFromText(text: string): Weekday {
  const asked = text.toUpperCase();
  const found = Object.entries(Weekday).find(
    ([name, value]) =>
      value !== Weekday.UNSPECIFIED && (name === asked || (asked.length === 3 && name.startsWith(asked))),
  );
  if (typeof found?.[1] !== 'number') {
    throw new InvalidArgumentError('It is one of mon, tue, wed, thu, fri, sat, sun.');
  }
  return found[1];
}
