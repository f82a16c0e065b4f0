/** What a task of iuap-dispatch says about itself, and the job that it is. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';
import { type JobSchema, OverlapPolicy } from '../../../gen/carillon/v1/job_pb.js';
import { CronDialect, type Schedule, ScheduleSchema } from '../../../gen/carillon/v1/schedule_pb.js';
import type { TargetSchema } from '../../../gen/carillon/v1/target_pb.js';
import type { Zone } from '../../domain/schedule/zone.ts';
import type { DialectOptions } from '../dialect.ts';
import { RequestRefused } from '../failure.ts';
import { flag, object, oneOf, parseFields, refuse, text, wholeNumber } from '../fields.ts';
import { instantFromText } from '../local-times.ts';
import { parseJson } from '../request-body.ts';

type JobInit = Extract<MessageInitShape<typeof JobSchema>, { $typeName?: never }>;
type TargetInit = MessageInitShape<typeof TargetSchema>;

const maxInt = 2_147_483_647;

/** An object, or the same as a text of JSON. */
const jsonOf = <Schema extends z.ZodType>(name: string, schema: Schema) =>
  z.preprocess((value) => (typeof value === 'string' ? parseJson(value, name) : value), schema);

/** A text as it is; what was meant to become one, as JSON. */
const dataText = z.unknown().transform((value, context) => {
  if (value === undefined || value === null) return refuse(context, 'must be set');
  return typeof value === 'string' ? value : JSON.stringify(value);
});

/** An instant; null and empty are none, but must be said. */
const date = (zone: Zone) =>
  z.unknown().transform((value, context): Date | undefined => {
    if (value === undefined) return refuse(context, 'must be set; null for none');
    if (value === null || value === '') return undefined;
    const isText = typeof value === 'string' || typeof value === 'number';
    return (
      (isText ? instantFromText(String(value), zone) : undefined) ??
      refuse(
        context,
        'must be a date from 1970 to 2199: yyyy-MM-dd HH:mm:ss, ISO 8601 or milliseconds since 1970',
      )
    );
  });

const recallConfig = jsonOf(
  'recallConfig',
  object({ recallType: oneOf(['HTTP', 'SOCKET']), option: z.unknown().optional(), data: dataText }),
);

const httpOption = jsonOf('recallConfig.option', object({ url: text }));
const socketOption = jsonOf('recallConfig.option', object({ host: text, port: wholeNumber(1, 65_535) }));

const msOfInterval = { MILLISECOND: 1, SECOND: 1_000, MINUTE: 60_000, HOUR: 3_600_000 } as const;

const timeConfig = jsonOf(
  'taskConfig.timeConfig',
  object({
    interval: z.unknown().optional(),
    intervalType: oneOf(['NULL', 'MILLISECOND', 'SECOND', 'MINUTE', 'HOUR']),
    isForever: flag,
    repeatCount: z.unknown().optional(),
  }),
);

const taskHead = (zone: Zone) => ({
  jobCode: text,
  groupCode: text,
  priority: wholeNumber(-maxInt, maxInt),
  endDate: date(zone),
});

const triggerTypes = object({ triggerType: oneOf(['SimpleTrigger', 'CronTrigger']) });
const addFields = object({
  recallConfig,
  taskConfig: jsonOf('taskConfig', triggerTypes.loose()),
  replace: flag,
});

/** Reads the request to add a task: the job that it makes, and whether it may take the place of another. */
export function readAdd(
  body: unknown,
  { zone, clock }: DialectOptions,
): { readonly job: JobInit & { readonly key: { group: string; name: string } }; readonly replace: boolean } {
  const { recallConfig: recall, taskConfig: task, replace } = parseFields(addFields, body);
  const isCron = task.triggerType === 'CronTrigger';
  const { head, schedules } = isCron ? cronTask(task, zone) : simpleTask(task, zone, clock.now());
  const job = {
    key: { group: head.groupCode, name: head.jobCode },
    priority: head.priority,
    schedules: [...schedules],
    target: targetFrom(recall),
    // What is sent to an HTTP callee as it is; within the line that a socket gets it stands here.
    parameters: { text: recall.data },
    // Quartz starts the next run beside one that is still open.
    overlap: OverlapPolicy.ALLOW,
    // A socket that only listens never says that it has succeeded: it would be sent everything again.
    ...(recall.recallType === 'SOCKET' && { retry: { maxAttempts: 1 } }),
  };
  return { job, replace };
}

function targetFrom({ recallType, option, data }: z.output<typeof recallConfig>): TargetInit {
  if (recallType === 'SOCKET') {
    return { kind: { case: 'socket', value: parseFields(socketOption, option, 'recallConfig.option') } };
  }
  const { url } = parseFields(httpOption, option, 'recallConfig.option');
  const type = isJson(data) ? 'application/json' : 'text/plain;charset=utf-8';
  return { kind: { case: 'http', value: { url, body: data, headers: { 'Content-Type': type } } } };
}

type Task = {
  readonly head: { readonly jobCode: string; readonly groupCode: string; readonly priority: number };
  readonly schedules: readonly Schedule[];
};

function cronTask(task: unknown, zone: Zone): Task {
  const head = parseFields(object({ ...taskHead(zone), cronExpress: text }), task, 'taskConfig');
  const value = { expression: head.cronExpress, dialect: CronDialect.QUARTZ, timeZone: zone.name };
  const endTime = optionalTime(head.endDate);
  return { head, schedules: [create(ScheduleSchema, { kind: { case: 'cron', value }, endTime })] };
}

function simpleTask(task: unknown, zone: Zone, now: Date): Task {
  const fields = object({ ...taskHead(zone), startDate: date(zone), timeConfig });
  const head = parseFields(fields, task, 'taskConfig');
  const { interval, intervalType, isForever, repeatCount } = head.timeConfig;
  const where = 'taskConfig.timeConfig';
  const runs = isForever ? 0 : parseFields(wholeNumber(1, maxInt), repeatCount, `${where}.repeatCount`);
  const { startDate = now, endDate } = head;
  if (intervalType === 'NULL') {
    if (runs !== 1) {
      throw new RequestRefused(
        400,
        `${where}.intervalType: may be NULL only for a single run, with repeatCount 1`,
      );
    }
    return { head, schedules: [onceAt(startDate > now ? startDate : now, endDate)] };
  }
  const count = parseFields(wholeNumber(1, maxInt), interval, `${where}.interval`);
  const every = { everyMs: count * msOfInterval[intervalType], endDate };
  return { head, schedules: simpleSchedules(startDate, now, runs, every) };
}

/** How late a start may be and still begin a task that runs for ever, in milliseconds; Quartz's misfire threshold. */
const lateStartMs = 60_000;

type Every = { readonly everyMs: number; readonly endDate?: Date };

/**
 * Runs from the start on, as Quartz has them. A start that has passed when the
 * task arrives is made up for at once, which an interval by itself would not
 * do; a task that runs for ever and began long since goes on in its old step.
 */
function simpleSchedules(startDate: Date, now: Date, runs: number, every: Every): Schedule[] {
  const lateMs = now.getTime() - startDate.getTime();
  if (lateMs < 0 || (runs === 0 && lateMs > lateStartMs)) return [everyFrom(startDate, runs, every)];
  const first = lateMs > lateStartMs ? now : startDate;
  const second = new Date(first.getTime() + every.everyMs);
  const once = onceAt(first, every.endDate);
  const isOnly = runs === 1 || (every.endDate !== undefined && second > every.endDate);
  return isOnly ? [once] : [once, everyFrom(second, runs === 0 ? 0 : runs - 1, every)];
}

function onceAt(at: Date, endDate: Date | undefined): Schedule {
  const atTime = timestampFromDate(at);
  return create(ScheduleSchema, {
    kind: { case: 'once', value: { atTime } },
    endTime: optionalTime(endDate),
  });
}

function everyFrom(start: Date, repeatCount: number, { everyMs, endDate }: Every): Schedule {
  const startTime = timestampFromDate(start);
  const value = { every: durationFromMs(everyMs), anchorTime: startTime };
  const endTime = optionalTime(endDate);
  return create(ScheduleSchema, { kind: { case: 'interval', value }, startTime, endTime, repeatCount });
}

const optionalTime = (at: Date | undefined) => (at === undefined ? undefined : timestampFromDate(at));

function isJson(data: string): boolean {
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}
