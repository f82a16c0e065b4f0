import { Code } from '@connectrpc/connect';
import type { Logger } from '../../platform/logger.ts';
import type { Call, Interceptor } from '../call.ts';
import { isServerFault, nameOfCode } from '../errors.ts';

/**
 * Writes one line per call when it has ended. What went well and what the
 * caller did wrong is for debugging; a faulty server is an error, with the
 * whole error; a server that could not in time or not now is a warning.
 */
export function logCalls(logger: Logger): Interceptor {
  return {
    name: 'logging',
    close(call) {
      const level = levelOf(call.error?.code);
      if (level === 'debug') logger.debug(fieldsOf(call), 'call ended');
      else logger[level]({ ...fieldsOf(call), error: call.failure }, 'call failed');
    },
  };

  function fieldsOf(call: Call): Readonly<Record<string, unknown>> {
    return {
      method: call.method.name,
      code: nameOfCode(call.error?.code),
      reason: call.error?.reason,
      ms: Math.round((call.endedMs - call.startedMs) * 1_000) / 1_000,
      requestId: call.requestId,
      actor: call.principal.actor,
      peer: call.peer(),
    };
  }
}

function levelOf(code: Code | undefined): 'debug' | 'warn' | 'error' {
  if (code === undefined) return 'debug';
  if (isServerFault(code)) return 'error';
  return code === Code.Unavailable || code === Code.DeadlineExceeded ? 'warn' : 'debug';
}
