import { meaningOfDays } from './cron-meaning-days.ts';
import { type CronPattern, valuesIn } from './cron-pattern.ts';
import { evenStep, listOf, numbersText, twoDigits } from './wording.ts';

/** Up to so many times of a day are listed one by one. */
const maxTimes = 8;

/**
 * A pattern in plain words: `every day at 02:00`, `every 15 minutes, Monday to
 * Friday`. It is made from what is compiled, not from what was written: it says
 * when the pattern fires, with `H` as the value that it stands for.
 */
export function meaningOfCron(pattern: CronPattern): string {
  const days = meaningOfDays(pattern);
  const [seconds, minutes, hours] = [pattern.seconds, pattern.minutes, pattern.hours].map(valuesIn) as [
    number[],
    number[],
    number[],
  ];
  if (seconds.length * minutes.length * hours.length <= maxTimes) {
    const hasSeconds = seconds.length > 1 || seconds[0] !== 0;
    const times = hours.flatMap((hour) =>
      minutes.flatMap((minute) =>
        seconds.map((second) => timeText(hour, minute, hasSeconds ? second : undefined)),
      ),
    );
    // Behind days of several parts the times would seem to belong to the last of them.
    if (days !== undefined && /, (only|all) | also /.test(days)) return `at ${listOf(times)}, ${days}`;
    return `${days ?? 'every day'} at ${listOf(times)}`;
  }
  const times = meaningOfTimes(seconds, minutes, hours);
  return days === undefined ? times : `${times}, ${days}`;
}

const timeText = (hour: number, minute: number, second?: number): string =>
  [hour, minute, ...(second === undefined ? [] : [second])].map(twoDigits).join(':');

function meaningOfTimes(
  seconds: readonly number[],
  minutes: readonly number[],
  hours: readonly number[],
): string {
  const isOnFullMinute = seconds.length === 1 && seconds[0] === 0;
  const atSecond = seconds.length === 1 && !isOnFullMinute ? `, at second ${seconds[0]}` : '';
  const everySecond = everyText(seconds, 60, 'second');
  const everyMinute = everyText(minutes, 60, 'minute');
  if (seconds.length === 1) {
    if (everyMinute) return everyMinute + inHours(hours, minutes) + atSecond;
    if (minutes.length === 1) return everyHour(hours, minutes[0]!) + atSecond;
    return `at minutes ${numbersText(minutes)}${ofHours(hours)}${atSecond}`;
  }
  if (everySecond && minutes.length === 60) return everySecond + inHours(hours, minutes, seconds);
  const what = everySecond ?? `at seconds ${numbersText(seconds)}`;
  if (minutes.length === 60) return `${what} of every minute${inHours(hours, minutes, seconds)}`;
  const within = minutes.length === 1 ? `minute ${minutes[0]}` : `minutes ${numbersText(minutes)}`;
  return `${what}${everySecond ? ' within' : ' of'} ${within}${ofHours(hours)}`;
}

/** `every minute`, `every 15 minutes`: only when the whole cycle is divided evenly from 0 on. */
function everyText(values: readonly number[], cycle: number, unit: string): string | undefined {
  const step = evenStep(values);
  if (step === undefined || values[0] !== 0 || values.length * step !== cycle) return undefined;
  return step === 1 ? `every ${unit}` : `every ${step} ${unit}s`;
}

/** Nothing for every hour; a single run of hours by its first and last time, others by their numbers. */
function inHours(hours: readonly number[], minutes: readonly number[], seconds?: readonly number[]): string {
  if (hours.length === 24) return '';
  if (hours.length > 1 && evenStep(hours) !== 1) return ` in the hours ${numbersText(hours)}`;
  const first = timeText(hours[0]!, minutes[0]!, seconds?.[0]);
  return ` from ${first} to ${timeText(hours.at(-1)!, minutes.at(-1)!, seconds?.at(-1))}`;
}

const ofHours = (hours: readonly number[]): string => {
  if (hours.length === 24) return ' of every hour';
  return hours.length === 1 ? ` of hour ${hours[0]}` : ` of the hours ${numbersText(hours)}`;
};

/** `every hour`, `every 2 hours from 00:05 to 22:05`. */
function everyHour(hours: readonly number[], minute: number): string {
  if (hours.length === 24) return minute === 0 ? 'every hour' : `every hour at minute ${minute}`;
  const step = evenStep(hours);
  if (step === undefined) return `at minute ${minute} of the hours ${numbersText(hours)}`;
  const every = step === 1 ? 'every hour' : `every ${step} hours`;
  return `${every} from ${timeText(hours[0]!, minute)} to ${timeText(hours.at(-1)!, minute)}`;
}
