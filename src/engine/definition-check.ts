import { DomainError, type FieldViolation, invalidField } from '../domain/errors.ts';
import type { JobDefinition } from '../domain/job.ts';
import { CronSyntaxError, everyMsOf } from '../domain/schedule/cron-expression.ts';
import type { FireSource } from '../domain/schedule/fire-source.ts';
import type { Schedule } from '../domain/schedule/schedule.ts';
import { compileSchedule, compileTimetable, Timetable } from '../domain/schedule/timetable.ts';
import { Zone } from '../domain/schedule/zone.ts';
import { validateTarget } from '../domain/target.ts';
import type { Turn } from '../platform/turn.ts';
import type { JobDraft, ScheduleDraft } from './operations.ts';

/**
 * Fixes what a draft leaves to the moment it is stored: an interval without an
 * anchor takes the one that the same schedule had before, else its start, else
 * now; a zone takes IANA's spelling. So storing the same definition again moves nothing.
 */
export function anchorSchedules(
  drafts: readonly ScheduleDraft[],
  before: readonly Schedule[],
  nowMs: number,
  path = 'job',
): readonly Schedule[] {
  return drafts.map((draft, i): Schedule => {
    const spec = intervalOfEvery(draft.spec, fieldOf(path, i));
    if (spec.kind === 'cron') {
      // In IANA's spelling, so that a zone reads the same everywhere; an unknown one is refused by the check.
      return { ...draft, spec: { ...spec, timeZone: Zone.find(spec.timeZone)?.name ?? spec.timeZone } };
    }
    if (spec.kind !== 'interval') return { ...draft, spec };
    const earlier = before.find((schedule) => schedule.name === draft.name)?.spec;
    const kept =
      earlier?.kind === 'interval' && earlier.everyMs === spec.everyMs ? earlier.anchorMs : undefined;
    return { ...draft, spec: { ...spec, anchorMs: spec.anchorMs ?? draft.startMs ?? kept ?? nowMs } };
  });
}

/** `@every 90s` is another way to write an interval, and is stored as one. */
function intervalOfEvery(spec: ScheduleDraft['spec'], path: string): ScheduleDraft['spec'] {
  if (spec.kind !== 'cron') return spec;
  const field = `${path}.cron.expression`;
  try {
    const everyMs = everyMsOf(spec.expression, spec.dialect);
    if (everyMs === undefined) return spec;
    if (everyMs < minEveryMs || everyMs > maxEveryMs) {
      throw invalidField(field, '@every takes 10ms to 100 years', 'INVALID_SCHEDULE');
    }
    return { kind: 'interval', everyMs: Math.round(everyMs), mode: 'FIXED_RATE' };
  } catch (error) {
    if (error instanceof CronSyntaxError) throw invalidField(field, error.message, 'INVALID_SCHEDULE');
    throw error;
  }
}

const minEveryMs = 10;
const maxEveryMs = 3_155_760_000_000;

/** Makes a definition of a draft whose schedules are anchored. */
export function definitionFromDraft(draft: JobDraft, schedules: readonly Schedule[]): JobDefinition {
  return { ...draft, schedules };
}

/**
 * Refuses a definition that cannot be used: a target that breaks its rules, a
 * backoff that shrinks, schedules that cannot be understood or never fire after
 * an instant. Field paths are under `path`.
 */
export function checkDefinition(
  definition: JobDefinition,
  path: string,
  fromMs: number,
  spreadSeed: number,
): Timetable {
  const violations: FieldViolation[] = [...validateTarget(definition.target, `${path}.target`)];
  const { initialBackoffMs, maxBackoffMs } = definition.retry;
  if (maxBackoffMs < initialBackoffMs) {
    violations.push({
      field: `${path}.retry.max_backoff`,
      description: `must not be shorter than initial_backoff (${initialBackoffMs} ms)`,
    });
  }
  if (violations.length > 0) {
    const [first] = violations;
    throw new DomainError('INVALID_ARGUMENT', `${first!.field}: ${first!.description}`, {
      metadata: { field: first!.field, description: first!.description },
      violations,
    });
  }
  return checkSchedules(definition.schedules, path, fromMs, spreadSeed);
}

/** Compiles schedules; refuses those that cannot be understood or never fire after an instant. */
export function checkSchedules(
  schedules: readonly Schedule[],
  path: string,
  fromMs: number,
  spreadSeed: number,
): Timetable {
  refuseMisfits(schedules, path);
  const timetable = compileTimetable(schedules, spreadSeed, path);
  schedules.forEach((_, i) => {
    refuseNeverFiring(timetable, schedules, i, path, fromMs);
  });
  return timetable;
}

/** The same where nothing waits for the outcome but the caller: one search at a time. */
export async function checkSchedulesInTurns(
  schedules: readonly Schedule[],
  path: string,
  fromMs: number,
  spreadSeed: number,
  turn: Turn,
): Promise<Timetable> {
  refuseMisfits(schedules, path);
  const sources: FireSource[] = [];
  for (const [i, schedule] of schedules.entries()) {
    await turn.pass();
    sources.push(compileSchedule(schedule, i, spreadSeed, path));
  }
  const timetable = new Timetable(sources);
  for (const i of schedules.keys()) {
    await turn.pass();
    refuseNeverFiring(timetable, schedules, i, path, fromMs);
  }
  return timetable;
}

/** Refuses names that are used twice, and schedules that end before they start. */
function refuseMisfits(schedules: readonly Schedule[], path: string): void {
  const names = new Set<string>();
  schedules.forEach((schedule, i) => {
    const field = fieldOf(path, i);
    if (names.has(schedule.name)) {
      throw invalidField(
        `${field}.name`,
        `${JSON.stringify(schedule.name)} is used twice; names are unique within a job`,
      );
    }
    names.add(schedule.name);
    if (schedule.startMs !== undefined && schedule.endMs !== undefined && schedule.endMs < schedule.startMs) {
      throw invalidField(`${field}.end_time`, 'must not be before start_time', 'INVALID_SCHEDULE');
    }
  });
}

function refuseNeverFiring(
  timetable: Timetable,
  schedules: readonly Schedule[],
  i: number,
  path: string,
  fromMs: number,
): void {
  if (timetable.only([i]).next(fromMs, [])) return;
  throw invalidField(fieldOf(path, i), neverFires(schedules[i]!, fromMs), 'INVALID_SCHEDULE');
}

const fieldOf = (path: string, i: number): string => `${path === '' ? '' : `${path}.`}schedules[${i}]`;

function neverFires(schedule: Schedule, fromMs: number): string {
  const after = new Date(fromMs).toISOString();
  if (schedule.spec.kind === 'once') return `never fires: at_time lies before ${after}`;
  if (schedule.endMs !== undefined && schedule.endMs < fromMs)
    return `never fires: end_time lies before ${after}`;
  return `never fires after ${after}: no instant within its bounds fits it`;
}
