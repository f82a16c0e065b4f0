import type { Interceptor } from '../call.ts';
import { describeError } from '../errors.ts';

/** Turns whatever was thrown further in into what the caller may see. */
export function mapErrors(): Interceptor {
  return {
    name: 'error-mapping',
    close(call) {
      if (call.failure !== undefined) call.error = describeError(call.failure, call.requestId);
    },
  };
}
