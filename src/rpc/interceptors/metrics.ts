import type { Clock } from '../../platform/clock.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Interceptor } from '../call.ts';
import { nameOfCode } from '../errors.ts';

/** How long calls take, in seconds, by method and code; its count is the number of calls. */
export const callSeconds = 'carillon_call_seconds';

/** Times every call and reports how long it took. */
export function measureCalls(clock: Clock, metrics: Metrics): Interceptor {
  /** Labels are few and always the same: made once per method and code. */
  const labels = new Map<string, Readonly<Record<string, string>>>();
  return {
    name: 'metrics',
    open(call) {
      call.startedMs = clock.monotonicMs();
    },
    close(call) {
      call.endedMs = clock.monotonicMs();
      const code = nameOfCode(call.error?.code);
      metrics.observe(callSeconds, (call.endedMs - call.startedMs) / 1_000, labelsOf(call.method.name, code));
    },
  };

  function labelsOf(method: string, code: string): Readonly<Record<string, string>> {
    const key = `${method} ${code}`;
    const known = labels.get(key);
    if (known !== undefined) return known;
    const made = { method, code };
    labels.set(key, made);
    return made;
  }
}
