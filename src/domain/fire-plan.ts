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
 * as missed. A fire time that a calendar excludes becomes SKIPPED CALENDAR
 * wherever it lies, unless a counted row stands for it. Whatever runs goes
 * through the overlap policy (overlap.ts); under CANCEL_OTHER only the last of
 * several runs is made, the others are recorded as replaced. The next fire time
 * is computed from now, never step by step from an old value.
 */
import type { ExecutionReason } from './execution.ts';
import type { FirePlan, FireSituation, PlannedRow } from './fire-situation.ts';
import { OverlapRule } from './overlap.ts';
import type { ScheduleProgress } from './schedule/schedule.ts';
import type { Fire } from './schedule/timetable.ts';

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

class Planner {
  readonly #situation: FireSituation;
  readonly #overlap: OverlapRule;
  readonly #rows: PlannedRow[] = [];
  #progress: readonly ScheduleProgress[];
  /** Fire times up to here are accounted for. */
  #doneMs: number;
  #lastFireMs: number | undefined;
  #replacesOpenAtMs: number | undefined;

  constructor(situation: FireSituation) {
    this.#situation = situation;
    this.#progress = situation.progress;
    this.#doneMs = situation.nextFireMs - 1;
    this.#overlap = new OverlapRule(situation.occupancy);
  }

  /** Accounts for the fire times up to an instant as skipped. */
  skipUntil(untilMs: number, reason: ExecutionReason, why: string): void {
    if (untilMs <= this.#doneMs) return;
    const first = this.#peek(untilMs);
    if (!first) {
      this.#doneMs = untilMs;
      return;
    }
    const { fireTimes } = this.#situation;
    const { count, isExact } = fireTimes.tally(this.#doneMs, untilMs, maxCounted, this.#progress);
    if (count <= maxSingleRows) {
      for (let next = this.#peek(untilMs); next; next = this.#peek(untilMs)) {
        this.#skipExcluded(next) || this.#skip(next, reason, why, 0);
      }
    } else {
      const last = this.#lastUntil(untilMs) ?? first;
      const range = `${new Date(first.atMs).toISOString()} to ${new Date(last.atMs).toISOString()}`;
      const many = isExact ? `${count}` : `at least ${count}`;
      this.#skip(first, reason, `${why}: ${many} fire times from ${range}`, count);
      this.#lastFireMs = last.atMs;
    }
    this.#doneMs = untilMs;
  }

  /** Applies the misfire policy to the fire times up to an instant, and to what would be a burst behind it. */
  handleMissed(untilMs: number): void {
    const { misfire, nowMs, exclusions, fireTimes } = this.#situation;
    const cutoffMs = Math.max(untilMs, this.#latestBefore(nowMs, misfire.maxCatchUp));
    if (cutoffMs <= this.#doneMs) return;
    if (misfire.policy === 'RUN_LAST') {
      // What a calendar excludes is not the last one to run.
      const last = exclusions.lastOpenUntil(fireTimes, cutoffMs, this.#doneMs, this.#progress);
      if (last) {
        this.#skipMissed(last.atMs - 1);
        this.runUntil(last.atMs, 'CATCH_UP');
      }
    } else if (misfire.policy === 'RUN_ALL') {
      const earliestMs = Math.max(
        nowMs - misfire.catchUpWindowMs - 1,
        this.#latestBefore(cutoffMs, misfire.maxCatchUp),
      );
      this.#skipMissed(Math.min(earliestMs, cutoffMs));
      this.runUntil(cutoffMs, 'CATCH_UP');
    }
    this.#skipMissed(cutoffMs);
  }

  /** Runs the fire times up to an instant, each through the calendars and the overlap policy. */
  runUntil(untilMs: number, cause: PlannedRow['cause']): void {
    for (let next = this.#peek(untilMs); next; next = this.#peek(untilMs)) {
      if (!this.#skipExcluded(next)) this.#run(next, cause);
    }
    this.#doneMs = Math.max(this.#doneMs, untilMs);
  }

  finish(): FirePlan {
    const next = this.#situation.fireTimes.next(
      Math.max(this.#situation.nowMs, this.#doneMs),
      this.#progress,
    );
    return {
      rows: this.#rows,
      nextFireMs: next?.atMs,
      lastFireMs: this.#lastFireMs,
      progress: this.#progress,
      replacesOpenAtMs: this.#replacesOpenAtMs,
    };
  }

  #run(next: Fire, cause: PlannedRow['cause']): void {
    const { overlap, exclusions, fireTimes } = this.#situation;
    const applied = exclusions.apply(next);
    const fire = applied.kind === 'open' ? applied.fire : next;
    const progress = fireTimes.afterRun(this.#progress, fire);
    if (overlap === 'CANCEL_OTHER') {
      const replacement = this.#runAfter(next, progress);
      if (replacement) {
        this.#skip(next, 'OVERLAP', `replaced by the execution of ${isoOf(replacement)}`, 0, cause);
        return;
      }
    }
    const decision = this.#overlap.decide(overlap, `the execution of ${isoOf(next)}`);
    if (decision.kind === 'SKIP') {
      this.#skip(next, 'OVERLAP', decision.message, 0, cause);
      return;
    }
    const buffered = decision.kind === 'BUFFER';
    if (buffered && decision.cancelsOthers) this.#replacesOpenAtMs = next.atMs;
    this.#push(next, {
      schedule: fire.name,
      cause,
      state: 'PENDING',
      message: '',
      skippedCount: 0,
      buffered,
      charged: fireTimes.chargedFor(fire),
    });
    this.#progress = progress;
  }

  /** The fire time up to now that would run after this one. */
  #runAfter(fire: Fire, progress: readonly ScheduleProgress[]): Fire | undefined {
    const { fireTimes, exclusions, nowMs } = this.#situation;
    for (
      let next = fireTimes.next(fire.atMs, progress);
      next && next.atMs <= nowMs;
      next = fireTimes.next(next.atMs, progress)
    ) {
      if (exclusions.apply(next).kind === 'open') return next;
    }
    return undefined;
  }

  #skipMissed(untilMs: number): void {
    this.skipUntil(untilMs, 'MISFIRE', 'missed by more than the grace time');
  }

  /** The next fire time that is not accounted for, if it lies within an instant. */
  #peek(untilMs: number): Fire | undefined {
    const next = this.#situation.fireTimes.next(this.#doneMs, this.#progress);
    return next && next.atMs <= untilMs ? next : undefined;
  }

  /** Accounts for a fire time that a calendar excludes or that has its row; false for any other. */
  #skipExcluded(at: Fire): boolean {
    if (this.#situation.taken?.has(at.atMs)) {
      this.#doneMs = at.atMs;
      return true;
    }
    const applied = this.#situation.exclusions.apply(at);
    if (applied.kind === 'open') return false;
    this.#skip(at, 'CALENDAR', `excluded by ${applied.by}`, 0);
    return true;
  }

  #skip(
    at: Fire,
    reason: ExecutionReason,
    message: string,
    skippedCount: number,
    cause: PlannedRow['cause'] = 'SCHEDULE',
  ): void {
    this.#push(at, {
      schedule: at.name,
      cause,
      state: 'SKIPPED',
      reason,
      message,
      skippedCount,
      buffered: false,
      charged: [],
    });
  }

  #push(at: Fire, row: Omit<PlannedRow, 'fireMs'>): void {
    this.#rows.push({ fireMs: at.atMs, ...row });
    this.#doneMs = at.atMs;
    this.#lastFireMs = at.atMs;
  }

  #count(afterMs: number, untilMs: number, cap: number): number {
    return this.#situation.fireTimes.count(afterMs, untilMs, cap, this.#progress);
  }

  #lastUntil(untilMs: number): Fire | undefined {
    return this.#situation.fireTimes.lastUntil(untilMs, this.#doneMs, this.#progress);
  }

  /** An instant behind which at most `count` fire times that may run lie up to `untilMs`. */
  #latestBefore(untilMs: number, count: number): number {
    return this.#situation.exclusions.isEmpty
      ? this.#latestOfAll(untilMs, count)
      : this.#latestOfOpen(untilMs, count);
  }

  #latestOfAll(untilMs: number, count: number): number {
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

  /** Back from one fire time that no calendar excludes to the one before it. */
  #latestOfOpen(untilMs: number, count: number): number {
    const { exclusions, fireTimes } = this.#situation;
    let atMs = untilMs;
    for (let n = 0; n <= count; n++) {
      const fire = exclusions.lastOpenUntil(fireTimes, atMs, this.#doneMs, this.#progress);
      if (!fire) return this.#doneMs;
      if (n === count) return fire.atMs;
      atMs = fire.atMs - 1;
    }
    return this.#doneMs;
  }
}

const isoOf = (fire: Fire): string => new Date(fire.atMs).toISOString();
