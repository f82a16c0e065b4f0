/**
 * What becomes of the fire times of one job that are due.
 *
 * Pure: the scheduler locks the job's timer row, asks this file what to write,
 * and writes it in the same transaction. Every due fire time is accounted for
 * by a row of its own or by a counted row, so that the ledger has no hole:
 *
 *   first due ........ end of pause ........ now - grace ........ now
 *   |--- held: SKIPPED PAUSED ---|--- missed: policy ---|--- on time ---|
 *
 * On time: runs as SCHEDULE. Missed: SKIP runs none, RUN_LAST the last one,
 * RUN_ALL the latest maxCatchUp inside the window, oldest first, as CATCH_UP;
 * the others become SKIPPED MISFIRE. More than maxCatchUp fire times on time
 * (a job every 10 ms after a stall) are no burst either: the older ones count
 * as missed. Whatever runs goes through the overlap policy. The next fire time
 * is computed from now, never step by step from an old value.
 */
import type { ExecutionCause, ExecutionReason } from './execution.ts';
import type { Misfire, OverlapPolicy } from './job.ts';

/** The fire times of a job's schedules; what a compiled timetable offers. */
export type FireTimes = {
  /** The first fire time strictly after an instant, given the runs that each schedule has made. */
  next(
    afterMs: number,
    runsMade: readonly number[],
  ): { readonly atMs: number; readonly schedules: readonly number[]; readonly name: string } | undefined;
  /** How many fire times lie in (after, until], counted up to a cap, without schedules that have made all their runs. */
  count(afterMs: number, untilMs: number, cap: number, runsMade: readonly number[]): number;
};

/** One ledger row to be written. */
export type PlannedRow = {
  readonly fireMs: number;
  readonly schedule: string;
  readonly cause: Extract<ExecutionCause, 'SCHEDULE' | 'CATCH_UP'>;
  readonly state: 'PENDING' | 'SKIPPED';
  readonly reason?: ExecutionReason;
  readonly message: string;
  /** How many fire times the row stands for; 0 for just its own. */
  readonly skippedCount: number;
};

export type FirePlan = {
  readonly rows: readonly PlannedRow[];
  /** Absent: no schedule fires again. */
  readonly nextFireMs?: number;
  /** The last fire time that was accounted for. */
  readonly lastFireMs?: number;
  readonly runsMade: readonly number[];
};

export type FireSituation = {
  readonly fireTimes: FireTimes;
  readonly runsMade: readonly number[];
  /** The fire time that is stored as next; it is due. */
  readonly nextFireMs: number;
  readonly nowMs: number;
  readonly misfire: Misfire;
  readonly overlap: OverlapPolicy;
  /** An execution of the job that is open. */
  readonly openExecutionId?: number;
  /** Fire times before this instant are held by a pause; Infinity for one without end. */
  readonly pausedUntilMs?: number;
};

/** Fire times that are skipped for one reason get rows of their own up to this many, else one counted row. */
const maxSingleRows = 100;

/** Counting stops here; a larger gap is written as at least this many. */
const maxCounted = 10_000_000;

/** Decides what to write for a job that is due. */
export function planFires(situation: FireSituation): FirePlan {
  const planner = new Planner(situation);
  const { nowMs, misfire, pausedUntilMs } = situation;
  if (pausedUntilMs !== undefined)
    planner.skipUntil(Math.min(pausedUntilMs - 1, nowMs), 'PAUSED', 'the job was paused');
  planner.handleMissed(Math.min(nowMs - misfire.graceMs - 1, nowMs));
  planner.runUntil(nowMs, 'SCHEDULE');
  return planner.finish();
}

type Occurrence = NonNullable<ReturnType<FireTimes['next']>>;

class Planner {
  readonly #situation: FireSituation;
  readonly #rows: PlannedRow[] = [];
  #runsMade: number[];
  /** Fire times up to here are accounted for. */
  #doneMs: number;
  #lastFireMs: number | undefined;
  #openExecution: string | undefined;

  constructor(situation: FireSituation) {
    this.#situation = situation;
    this.#runsMade = [...situation.runsMade];
    this.#doneMs = situation.nextFireMs - 1;
    if (situation.openExecutionId !== undefined)
      this.#openExecution = `execution ${situation.openExecutionId}`;
  }

  /** Accounts for the fire times up to an instant as skipped. */
  skipUntil(untilMs: number, reason: ExecutionReason, why: string): void {
    if (untilMs <= this.#doneMs) return;
    const first = this.#peek(untilMs);
    if (!first) {
      this.#doneMs = untilMs;
      return;
    }
    const count = this.#count(this.#doneMs, untilMs, maxCounted);
    if (count <= maxSingleRows) {
      for (let next = this.#peek(untilMs); next; next = this.#peek(untilMs)) this.#skip(next, reason, why, 0);
    } else {
      const last = this.#lastUntil(untilMs, first);
      const range = `${new Date(first.atMs).toISOString()} to ${new Date(last.atMs).toISOString()}`;
      const many = count >= maxCounted ? `at least ${count}` : `${count}`;
      this.#skip(first, reason, `${why}: ${many} fire times from ${range}`, count);
      this.#lastFireMs = last.atMs;
    }
    this.#doneMs = untilMs;
  }

  /** Applies the misfire policy to the fire times up to an instant, and to what would be a burst behind it. */
  handleMissed(untilMs: number): void {
    const { misfire, nowMs } = this.#situation;
    const onTime = this.#count(Math.max(untilMs, this.#doneMs), nowMs, misfire.maxCatchUp + 1);
    const cutoffMs = onTime > misfire.maxCatchUp ? this.#latestBefore(nowMs, misfire.maxCatchUp) : untilMs;
    if (cutoffMs <= this.#doneMs) return;
    const first = this.#peek(cutoffMs);
    if (first && misfire.policy === 'RUN_LAST') {
      const last = this.#lastUntil(cutoffMs, first);
      this.#skipMissed(last.atMs - 1);
      this.runUntil(cutoffMs, 'CATCH_UP');
    } else if (first && misfire.policy === 'RUN_ALL') {
      const earliestMs = Math.max(
        nowMs - misfire.catchUpWindowMs - 1,
        this.#latestBefore(cutoffMs, misfire.maxCatchUp),
      );
      this.#skipMissed(Math.min(earliestMs, cutoffMs));
      this.runUntil(cutoffMs, 'CATCH_UP');
    } else {
      this.#skipMissed(cutoffMs);
    }
  }

  /** Runs the fire times up to an instant, each through the overlap policy. */
  runUntil(untilMs: number, cause: PlannedRow['cause']): void {
    for (let next = this.#peek(untilMs); next; next = this.#peek(untilMs)) {
      if (this.#openExecution !== undefined && this.#situation.overlap === 'SKIP') {
        this.#skip(next, 'OVERLAP', `${this.#openExecution} was still open`, 0, cause);
        continue;
      }
      this.#push(next, { cause, state: 'PENDING', message: '', skippedCount: 0 });
      this.#openExecution = `the execution of ${new Date(next.atMs).toISOString()}`;
      for (const index of next.schedules) this.#runsMade[index] = (this.#runsMade[index] ?? 0) + 1;
    }
    this.#doneMs = Math.max(this.#doneMs, untilMs);
  }

  finish(): FirePlan {
    const next = this.#situation.fireTimes.next(
      Math.max(this.#situation.nowMs, this.#doneMs),
      this.#runsMade,
    );
    return {
      rows: this.#rows,
      nextFireMs: next?.atMs,
      lastFireMs: this.#lastFireMs,
      runsMade: this.#runsMade,
    };
  }

  #skipMissed(untilMs: number): void {
    this.skipUntil(untilMs, 'MISFIRE', 'missed by more than the grace time');
  }

  /** The next fire time that is not accounted for, if it lies within an instant. */
  #peek(untilMs: number): Occurrence | undefined {
    const next = this.#situation.fireTimes.next(this.#doneMs, this.#runsMade);
    return next && next.atMs <= untilMs ? next : undefined;
  }

  #skip(
    at: Occurrence,
    reason: ExecutionReason,
    message: string,
    skippedCount: number,
    cause: PlannedRow['cause'] = 'SCHEDULE',
  ): void {
    this.#push(at, { cause, state: 'SKIPPED', reason, message, skippedCount });
  }

  #push(at: Occurrence, row: Omit<PlannedRow, 'fireMs' | 'schedule'>): void {
    this.#rows.push({ fireMs: at.atMs, schedule: at.name, ...row });
    this.#doneMs = at.atMs;
    this.#lastFireMs = at.atMs;
  }

  #count(afterMs: number, untilMs: number, cap: number): number {
    return this.#situation.fireTimes.count(afterMs, untilMs, cap, this.#runsMade);
  }

  /** The last fire time up to an instant, given that `first` lies within it: halves the span that holds it. */
  #lastUntil(untilMs: number, first: Occurrence): Occurrence {
    const { fireTimes } = this.#situation;
    let last = first;
    let highMs = untilMs;
    while (highMs - last.atMs > 1) {
      const middleMs = Math.floor((last.atMs + highMs) / 2);
      const next = fireTimes.next(middleMs, this.#runsMade);
      if (next && next.atMs <= untilMs) last = next;
      else highMs = middleMs;
    }
    // Only the instant 1 ms behind is left to ask for.
    const next = fireTimes.next(last.atMs, this.#runsMade);
    return next && next.atMs <= untilMs ? next : last;
  }

  /** An instant behind which at most `count` fire times lie up to `untilMs`. */
  #latestBefore(untilMs: number, count: number): number {
    let lowMs = this.#doneMs;
    // Fire times are whole milliseconds; a fraction, which the database's clock has, would keep the span from closing.
    let highMs = Math.floor(untilMs);
    if (this.#count(lowMs, untilMs, count + 1) <= count) return lowMs;
    while (highMs - lowMs > 1) {
      const middleMs = Math.floor((lowMs + highMs) / 2);
      if (this.#count(middleMs, untilMs, count + 1) <= count) highMs = middleMs;
      else lowMs = middleMs;
    }
    return highMs;
  }
}
