/**
 * Jobs as a big installation has them: cron expressions of both dialects, each
 * of them another one, over three dozen zones, and some intervals. They are
 * drawn by a generator with a fixed seed. What would fire within the quiet span
 * is drawn again, so that nothing is due but what a figure makes due; that
 * leaves out whatever fires every few minutes.
 */
import type { CronDialect, Schedule } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import { localIso, Zone } from '../../src/domain/schedule/zone.ts';
import { ensure } from './statistics.ts';

/** A job with its next fire time. */
export type DrawnJob = { readonly id: number; readonly schedule: Schedule; readonly nextFireMs: number };

/** The zones of the jobs, by turns. */
export const zones = (
  'UTC Europe/London Europe/Berlin Europe/Paris Europe/Madrid Europe/Rome Europe/Warsaw Europe/Kyiv ' +
  'Europe/Istanbul Europe/Lisbon Africa/Cairo Africa/Lagos Africa/Johannesburg Africa/Casablanca Asia/Dubai ' +
  'Asia/Tehran Asia/Karachi Asia/Kolkata Asia/Kathmandu Asia/Dhaka Asia/Jakarta Asia/Shanghai Asia/Singapore ' +
  'Asia/Tokyo Asia/Seoul Australia/Perth Australia/Adelaide Australia/Sydney Australia/Lord_Howe Pacific/Auckland ' +
  'Pacific/Honolulu America/Los_Angeles America/Denver America/Chicago America/New_York America/St_Johns ' +
  'America/Sao_Paulo America/Santiago'
).split(' ');

/** A whole number from a to b. */
type Pick = (a: number, b: number) => number;

const days = 'SUN MON TUE WED THU FRI SAT'.split(' ');
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const unixForms: readonly ((pick: Pick) => string)[] = [
  (pick) => `${time(pick)} * * *`,
  (pick) => `${time(pick)} * * ${days[pick(0, 6)]}`,
  (pick) => `${time(pick)} ${pick(1, 14)}-${pick(15, 28)} * *`,
  (pick) => `${time(pick)} ${pick(1, 15)},${pick(16, 31)} * MON-FRI`,
  (pick) => `${pick(0, 59)} ${pick(0, 11)},${pick(12, 23)} ${pick(1, 28)} * *`,
  (pick) => `${pick(0, 59)} ${pick(0, 23)} ${pick(1, 28)} ${pick(1, 12)} *`,
  (pick) => `${pick(0, 59)} ${pick(0, 59)} ${pick(0, 5)}/6 * * *`,
  (pick) => `${pick(0, 59)} ${pick(0, 14)}/15 ${pick(5, 10)}-${pick(15, 20)} * * MON-FRI`,
];

const quartzForms: readonly ((pick: Pick) => string)[] = [
  (pick) => `${time(pick)} ? * MON-FRI`,
  (pick) => `${time(pick)} ? * ${days[pick(0, 6)]}#${pick(1, 4)}`,
  (pick) => `${time(pick)} ? * ${pick(1, 7)}L`,
  (pick) => `${time(pick)} ${pick(1, 31)} * ?`,
  (pick) => `${time(pick)} ${pick(1, 28)}W * ?`,
  (pick) => `${time(pick)} L-${pick(1, 20)} * ?`,
  (pick) => `${time(pick)} ${pick(1, 28)} ${pick(1, 12)} ? 2026-2060`,
];

const time = (pick: Pick): string => `${pick(0, 59)} ${pick(0, 59)} ${pick(0, 23)}`;

/** Draws jobs whose ids follow each other. */
export class ManyJobs {
  readonly #firstId: number;
  readonly #nowMs: number;
  readonly #quietMs: number;
  readonly #seen = new Set<string>();
  #seed = 20_260_101;

  /** Nothing fires within `quietMs` behind `nowMs`, from where fire times are computed. */
  constructor(firstId: number, nowMs: number, quietMs: number) {
    this.#firstId = firstId;
    this.#nowMs = nowMs;
    this.#quietMs = quietMs;
  }

  /** How many distinct cron expressions were drawn. */
  get expressions(): number {
    return this.#seen.size;
  }

  /** The job of a place: one in ten is an interval. */
  draw(place: number): DrawnJob {
    const id = this.#firstId + place;
    for (;;) {
      const schedule = place % 10 === 9 ? this.#interval() : this.#cron(zones[place % zones.length]!);
      const nextFireMs = schedule && compileTimetable([schedule], id).next(this.#nowMs, [])?.atMs;
      if (!nextFireMs || nextFireMs <= this.#nowMs + this.#quietMs) continue;
      if (schedule.spec.kind === 'cron') this.#seen.add(schedule.spec.expression);
      return { id, schedule, nextFireMs };
    }
  }

  /** Undefined when the expression is another job's already. */
  #cron(timeZone: string): Schedule | undefined {
    const isQuartz = this.#pick(0, 1) === 1;
    const forms = isQuartz ? quartzForms : unixForms;
    const expression = forms[this.#pick(0, forms.length - 1)]!(this.#pick);
    return this.#seen.has(expression)
      ? undefined
      : cronSchedule(expression, isQuartz ? 'QUARTZ' : 'UNIX', timeZone);
  }

  #interval(): Schedule {
    const everyMs = this.#pick(3_600, 30 * 86_400) * 1_000;
    const isDelay = this.#pick(0, 3) === 0;
    // A fixed delay that has not begun fires at its anchor.
    const anchorMs = this.#nowMs + (isDelay ? 1 : -1) * this.#pick(0, 30 * 86_400) * 1_000;
    return {
      name: '',
      repeatCount: 0,
      spec: { kind: 'interval', everyMs, mode: isDelay ? 'FIXED_DELAY' : 'FIXED_RATE', anchorMs },
    };
  }

  readonly #pick: Pick = (a, b) => {
    // mulberry32
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return a + (((mixed ^ (mixed >>> 14)) >>> 0) % (b - a + 1));
  };
}

/** A schedule that fires at this instant, a whole second, and then every day at that local time. */
export function dailyAt(id: number, atMs: number): Schedule {
  const timeZone = zones[id % zones.length]!;
  const [hour, minute, second] = localIso(atMs, Zone.find(timeZone)!).slice(11, 19).split(':').map(Number);
  const schedule = cronSchedule(`${second} ${minute} ${hour} * * *`, 'UNIX', timeZone);
  const nextMs = compileTimetable([schedule], id).next(atMs - dayMs / 2, [])?.atMs;
  ensure(
    nextMs === atMs,
    `${JSON.stringify(schedule.spec)} does not fire at ${new Date(atMs).toISOString()}`,
  );
  return schedule;
}

const cronSchedule = (expression: string, dialect: CronDialect, timeZone: string): Schedule => ({
  name: '',
  repeatCount: 0,
  spec: { kind: 'cron', expression, dialect, timeZone, gap: 'RUN_AT_GAP_END', ambiguous: 'FIRST' },
});
