import type { AuthenticationOperations, RefusalRecorder } from '../engine/operations.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Interceptor } from './call.ts';
import { recordRefusals } from './interceptors/audit.ts';
import { authenticateCalls } from './interceptors/authentication.ts';
import { limitTime } from './interceptors/deadline.ts';
import { mapErrors } from './interceptors/error-mapping.ts';
import { logCalls } from './interceptors/logging.ts';
import { measureCalls } from './interceptors/metrics.ts';
import { identifyRequests } from './interceptors/request-id.ts';
import { validateRequests } from './interceptors/validation.ts';
import type { Service } from './services/service.ts';

/** What the chain is made with. */
export type ChainOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The services that the chain is for. */
  readonly services: readonly Service[];
  /** Tells who calls. Absent: access control is off, and everybody may everything. */
  readonly authentication?: AuthenticationOperations;
  /** Takes refused calls into the audit. */
  readonly refusals: RefusalRecorder;
  /**
   * How long a unary call may take on the server, in milliseconds, whatever
   * the caller's deadline. Default 30,000. Below about 1,000 slow batches and
   * a failing-over database turn into DEADLINE_EXCEEDED; above some minutes
   * callers who went away hold connections of the pool.
   */
  readonly maxUnaryMs?: number;
};

/**
 * The interceptors around every handler, outermost first; both servers use
 * this one chain. The order is asserted by a test.
 */
export function createChain(options: ChainOptions): readonly Interceptor[] {
  const { clock, logger, metrics, services, refusals, authentication, maxUnaryMs = 30_000 } = options;
  return [
    // First, because the log line and the error of every refusal further in name it.
    identifyRequests(),
    // Outside everything that can refuse, so that each call has its one line, and
    // outside the metrics, so that the line tells the time that they saw.
    logCalls(logger),
    // Outside the error mapping, because they count the code that the caller sees.
    measureCalls(clock, metrics),
    // Outside whatever throws; only the two above need its result.
    mapErrors(),
    // Outside whatever refuses because of who calls, so that it is recorded, and
    // outside the validation, so that it knows what a bad request named.
    recordRefusals(refusals),
    // Its refusals are logged, counted and mapped, and nobody without credentials
    // gets a timer, a check or a handler.
    ...(authentication ? [authenticateCalls(authentication, clock)] : []),
    // Before the validation, because time runs from the arrival and not from the
    // end of a slow upload.
    limitTime(clock, maxUnaryMs),
    // Last: what it lets through is what the handlers may rely on.
    validateRequests(services),
  ];
}
