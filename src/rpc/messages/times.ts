/**
 * Instants are Date and end in `At` inside, Timestamp and `_time` outside;
 * spans are milliseconds inside, Duration outside. The fields are crossed in
 * this folder and nowhere else. What is finer than a millisecond is cut off.
 */
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';

/** The instant of a date. */
export function timestampFromDate(at: Date): Timestamp {
  return timestampFromMs(at.getTime());
}

/** The instant of epoch milliseconds, before 1970 too. */
export function timestampFromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1_000);
  return {
    $typeName: 'google.protobuf.Timestamp',
    seconds: BigInt(seconds),
    nanos: Math.floor(ms - seconds * 1_000) * 1_000_000,
  };
}

/** The instant of a date that may be absent. */
export function optionalTimestamp(at: Date | undefined): Timestamp | undefined {
  return at === undefined ? undefined : timestampFromDate(at);
}

/** Epoch milliseconds of an instant. */
export function msFromTimestamp(timestamp: Timestamp): number {
  return Number(timestamp.seconds) * 1_000 + Math.floor(timestamp.nanos / 1_000_000);
}

/** The date of an instant. */
export function dateFromTimestamp(timestamp: Timestamp): Date {
  return new Date(msFromTimestamp(timestamp));
}

/** The date of an instant that may be absent. */
export function optionalDate(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : dateFromTimestamp(timestamp);
}

/** Epoch milliseconds of an instant that may be absent. */
export function optionalMs(timestamp: Timestamp | undefined): number | undefined {
  return timestamp === undefined ? undefined : msFromTimestamp(timestamp);
}

/** A span of milliseconds, 0 or more. */
export function durationFromMs(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return {
    $typeName: 'google.protobuf.Duration',
    seconds: BigInt(seconds),
    nanos: Math.floor(ms - seconds * 1_000) * 1_000_000,
  };
}

/** Whole milliseconds of a span. */
export function msFromDuration(duration: Duration): number {
  return Number(duration.seconds) * 1_000 + Math.trunc(duration.nanos / 1_000_000);
}

/** Whole milliseconds of a span, or the default where it is absent. */
export function msOrDefault<Default extends number | undefined>(
  duration: Duration | undefined,
  otherwise: Default,
): number | Default {
  return duration === undefined ? otherwise : msFromDuration(duration);
}
