/**
 * How many next fire times a second the search computes, beside cron-parser and
 * croner in the same process, on the same instants.
 *
 * Measured is one call: "the first fire time strictly after this instant" for
 * an expression that is compiled already, in Europe/Berlin. No two instants in
 * turn are alike: 20,000 lie evenly spread and in scattered order over the
 * ten years from 2026, so that no answer can be kept from the call before, as
 * for a scheduler that meets many jobs. cron-parser is set to each instant by
 * reset(). Each figure is the best of three rounds, because others may use the
 * machine. "-" means that a library cannot express it: it refuses the expression,
 * or answers something else on the first 20 instants.
 */
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import type { CronDialect } from '../../src/domain/schedule/schedule.ts';
import { compileTimetable } from '../../src/domain/schedule/timetable.ts';
import type { Bench } from '../bench.ts';
import { type Figure, whole } from '../support/statistics.ts';

const timeZone = 'Europe/Berlin';
const roundMs = 150;
const rounds = 3;

/** Fire times a second that are to be reached. */
const simpleGoal = 1_000_000;
const hardGoal = 300_000;

type Row = {
  readonly what: string;
  readonly expression: string;
  readonly dialect?: CronDialect;
  /** How the libraries write the same; absent: as here. */
  readonly elsewhere?: string;
  readonly goal: number;
};

const expressions: readonly Row[] = [
  { what: 'every day', expression: '30 4 * * *', goal: simpleGoal },
  { what: 'weekdays in business hours', expression: '*/15 8-17 * * MON-FRI', goal: simpleGoal },
  { what: 'every minute', expression: '* * * * *', goal: simpleGoal },
  { what: 'every second', expression: '* * * * * *', goal: simpleGoal },
  { what: 'first of the month', expression: '0 0 1 * *', goal: simpleGoal },
  { what: '29 February', expression: '0 0 29 2 *', goal: hardGoal },
  { what: 'three days before the last', expression: '0 12 L-3 * *', goal: hardGoal },
  { what: 'weekday nearest to the 15th', expression: '0 12 15W * *', goal: hardGoal },
  { what: 'last weekday of the month', expression: '0 12 LW * *', goal: hardGoal },
  { what: 'second Friday of the month', expression: '0 12 * * 5#2', goal: hardGoal },
  { what: 'fifth Monday of a February', expression: '0 12 * 2 1#5', goal: hardGoal },
  { what: 'last Friday of the month', expression: '0 12 * * 5L', goal: hardGoal },
  {
    what: 'clocks change over it',
    expression: '30 2 * 3,10 SUNL',
    elsewhere: '30 2 * 3,10 0L',
    goal: hardGoal,
  },
  {
    what: 'a list of years',
    expression: '0 0 2 1 6 ? 2030,2040,2050',
    elsewhere: '0 0 2 1 6 ? 2030,2040,2050',
    dialect: 'QUARTZ',
    goal: hardGoal,
  },
];

/** 20,000 instants in the order in which a multiplier that has no divisor in common with their number takes them. */
const instants = Array.from(
  { length: 20_000 },
  (_, i) => Date.UTC(2026, 0, 1) + ((i * 7_919) % 20_000) * 15_779_000 + (i % 1_000),
);

/** Computes the next fire time behind an instant; undefined when there is none. */
type Next = (afterMs: number) => number | undefined;

function ours({ expression, dialect = 'UNIX' }: Row): Next {
  const timetable = compileTimetable(
    [
      {
        name: 'bench',
        repeatCount: 0,
        spec: { kind: 'cron', expression, dialect, timeZone, gap: 'RUN_AT_GAP_END', ambiguous: 'FIRST' },
      },
    ],
    1,
  );
  return (afterMs) => timetable.next(afterMs, [])?.atMs;
}

function cronParser({ expression, elsewhere }: Row): Next {
  const parsed = CronExpressionParser.parse(elsewhere ?? expression, { tz: timeZone });
  return (afterMs) => {
    parsed.reset(new Date(afterMs));
    return parsed.next().toDate().getTime();
  };
}

function croner({ expression, elsewhere }: Row): Next {
  const parsed = new Cron(elsewhere ?? expression, { timezone: timeZone, paused: true });
  return (afterMs) => parsed.nextRun(new Date(afterMs))?.getTime();
}

/** Calls a second. */
function ratePerSecond(next: Next): number {
  let best = 0;
  let at = 0;
  for (let round = 0; round < rounds; round++) {
    let count = 0;
    const began = performance.now();
    let elapsedMs = 0;
    for (; elapsedMs < roundMs; elapsedMs = performance.now() - began) {
      for (let i = 0; i < 20; i++, count++) {
        next(instants[at]!);
        at = at + 1 === instants.length ? 0 : at + 1;
      }
    }
    best = Math.max(best, (count / elapsedMs) * 1_000);
  }
  return best;
}

/** A library's rate; undefined when it refuses the expression or means something else by it. */
function rateOf(make: (row: Row) => Next, row: Row): number | undefined {
  try {
    const next = make(row);
    const expected = ours(row);
    if (instants.slice(0, 20).some((atMs) => next(atMs) !== expected(atMs))) return undefined;
    return ratePerSecond(next);
  } catch {
    return undefined;
  }
}

const ratio = (rate: number, other: number | undefined): string =>
  other === undefined ? '-' : `${whole(rate / other)}×`;

export async function measureNextFire({ progress }: Pick<Bench, 'progress'>): Promise<readonly Figure[]> {
  return expressions.map((row) => {
    const rate = ratePerSecond(ours(row));
    const [parser, other] = [rateOf(cronParser, row), rateOf(croner, row)];
    const beside = (rates: number | undefined): string => (rates === undefined ? '-' : whole(rates));
    progress(`${row.expression}: ${whole(rate)}/s; cron-parser ${beside(parser)}, croner ${beside(other)}`);
    return {
      name: `next fire: ${row.what}`,
      value: `${whole(rate)}/s`,
      goal: `≥ ${whole(row.goal)}`,
      reached: rate >= row.goal,
      note: `${row.expression}: ${ratio(rate, parser)} cron-parser, ${ratio(rate, other)} croner`,
    };
  });
}
