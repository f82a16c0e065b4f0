/** Drafts of jobs as the end-to-end and chaos tests add them, and the fire times that they owe. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Job, type JobSchema, OverlapPolicy } from '../../gen/carillon/v1/job_pb.js';

/** What Add takes as a job. */
export type JobDraft = Exclude<MessageInitShape<typeof JobSchema>, Job>;

/** The span in which a job fires, both ends included. */
export type Span = { readonly startMs: number; readonly endMs: number };

/** A job without a schedule. */
export function manualJob(name: string, url: string, more: JobDraft = {}): JobDraft {
  return {
    key: { name },
    target: { kind: { case: 'http', value: { url } } },
    overlap: OverlapPolicy.ALLOW,
    retry: { maxAttempts: 5, initialBackoff: durationFromMs(100), maxBackoff: durationFromMs(500) },
    ...more,
  };
}

/** A job that fires at every whole second of a span. */
export function everySecondJob(name: string, url: string, span: Span, more: JobDraft = {}): JobDraft {
  const kind = { case: 'cron', value: { expression: '*/1 * * * * *' } } as const;
  return manualJob(name, url, { schedules: [{ ...bounds(span), kind }], ...more });
}

/** A job that fires every so many milliseconds of a span, from its start on. */
export function everyMsJob(name: string, url: string, span: Span, ms: number, more: JobDraft = {}): JobDraft {
  const kind = {
    case: 'interval',
    value: { every: durationFromMs(ms), anchorTime: timestampFromMs(span.startMs) },
  } as const;
  return manualJob(name, url, { schedules: [{ ...bounds(span), kind }], ...more });
}

/**
 * The oracle: every fire time from the start to the end of a span, the slow and
 * obvious way. It shares no code with the service.
 */
export function owedFireTimes({ startMs, endMs }: Span, everyMs: number): readonly number[] {
  const owed: number[] = [];
  for (let ms = startMs; ms <= endMs; ms += everyMs) owed.push(ms);
  return owed;
}

/** A span of whole seconds that begins in a while. */
export function spanFrom(waitMs: number, seconds: number): Span {
  const startMs = Math.ceil((Date.now() + waitMs) / 1_000) * 1_000;
  return { startMs, endMs: startMs + seconds * 1_000 };
}

const bounds = ({ startMs, endMs }: Span) => ({
  startTime: timestampFromMs(startMs),
  endTime: timestampFromMs(endMs),
});
