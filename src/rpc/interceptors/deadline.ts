import { DomainError } from '../../domain/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Interceptor } from '../call.ts';

/**
 * Ends unary calls that take longer than the server allows, or than the caller
 * waits, with DEADLINE_EXCEEDED; the call's signal aborts. Streams live as
 * long as their caller wants: only the caller's deadline ends them.
 */
export function limitTime(clock: Clock, maxUnaryMs: number): Interceptor {
  return {
    name: 'deadline',
    open(call) {
      const remainingMs = call.remainingMs();
      const serverMs = call.method.kind === 'unary' ? maxUnaryMs : undefined;
      const limitMs = Math.min(remainingMs ?? Infinity, serverMs ?? Infinity);
      if (limitMs === Infinity) return;
      call.cancelDeadline = clock.setTimer(limitMs, () => call.fail(deadlineExceeded(limitMs)));
    },
    close(call) {
      call.cancelDeadline?.();
    },
  };
}

function deadlineExceeded(limitMs: number): DomainError {
  const limit = String(Math.max(0, Math.round(limitMs)));
  return new DomainError('DEADLINE_EXCEEDED', `the call did not end within ${limit} ms`, {
    metadata: { limit_ms: limit },
  });
}
