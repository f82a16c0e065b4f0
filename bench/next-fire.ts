/**
 * How many next fire times a second this search computes, beside cron-parser
 * and croner in the same process. Each figure is the best of three rounds,
 * because others may use the machine.
 *
 *   node bench/next-fire.ts
 */
import { CronExpressionParser } from 'cron-parser';
import { Cron } from 'croner';
import { compileTimetable } from '../src/domain/schedule/timetable.ts';

const zone = 'Europe/Berlin';
const startMs = Date.parse('2026-01-01T00:00:00Z');
const roundMs = 100;
const rounds = 3;

const expressions: readonly (readonly [what: string, expression: string])[] = [
  ['every day', '30 4 * * *'],
  ['weekdays, business hours', '*/15 8-17 * * MON-FRI'],
  ['29 February', '0 0 29 2 *'],
  ['third day before the last', '0 12 L-3 * *'],
  ['weekday nearest to the 15th', '0 12 15W * *'],
  ['every second', '* * * * * *'],
];

/** Computes the next fire time behind an instant. */
type Next = (afterMs: number) => number;

function ours(expression: string): Next {
  const timetable = compileTimetable(
    [
      {
        name: 'bench',
        repeatCount: 0,
        spec: {
          kind: 'cron',
          expression,
          dialect: 'UNIX',
          timeZone: zone,
          gap: 'RUN_AT_GAP_END',
          ambiguous: 'FIRST',
        },
      },
    ],
    1,
  );
  return (afterMs) => timetable.next(afterMs, [])!.atMs;
}

function cronParser(expression: string): Next {
  const parsed = CronExpressionParser.parse(expression, { currentDate: new Date(startMs), tz: zone });
  return (afterMs) => {
    // It goes on from where it is; only the jump back to the start sets it anew.
    if (afterMs === startMs) parsed.reset(new Date(startMs));
    return parsed.next().toDate().getTime();
  };
}

function croner(expression: string): Next {
  const parsed = new Cron(expression, { timezone: zone, paused: true });
  return (afterMs) => {
    const next = parsed.nextRun(new Date(afterMs));
    if (!next) throw new Error('no fire time');
    return next.getTime();
  };
}

/** Fire times a second, following each other for 50 years and then from the start again. */
function ratePerSecond(next: Next): number {
  const endMs = startMs + 50 * 365 * 86_400_000;
  let best = 0;
  for (let round = 0; round < rounds; round++) {
    let count = 0;
    let afterMs = startMs;
    const began = performance.now();
    let elapsedMs = 0;
    for (; elapsedMs < roundMs; elapsedMs = performance.now() - began) {
      for (let i = 0; i < 20; i++, count++) {
        afterMs = next(afterMs);
        if (afterMs > endMs) afterMs = startMs;
      }
    }
    best = Math.max(best, (count / elapsedMs) * 1_000);
  }
  return best;
}

/** A figure; an expression that the library does not know has none. */
function figure(make: (expression: string) => Next, expression: string): string {
  let next: Next;
  try {
    next = make(expression);
  } catch {
    return 'refused';
  }
  return Math.round(ratePerSecond(next)).toLocaleString('en-US');
}

console.table(
  Object.fromEntries(
    expressions.map(([what, expression]) => [
      `${what} (${expression})`,
      {
        'carillon/s': figure(ours, expression),
        'cron-parser/s': figure(cronParser, expression),
        'croner/s': figure(croner, expression),
      },
    ]),
  ),
);
