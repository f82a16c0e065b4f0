import { onTestFinished } from 'vitest';
import type { LogLine } from '../../../../src/domain/execution.ts';
import type { HttpTarget } from '../../../../src/domain/job.ts';
import {
  HttpTargetClient,
  type HttpTargetClientOptions,
} from '../../../../src/engine/targets/http-target-client.ts';
import type { Delivery, DeliveryContext, DeliveryResult } from '../../../../src/engine/targets/target.ts';
import type { Clock } from '../../../../src/platform/clock.ts';
import { loopbackOpen } from '../../../support/egress.ts';

/** A client that is closed when the test is over. */
export function createClient(options: Partial<HttpTargetClientOptions> = {}): HttpTargetClient {
  const client = new HttpTargetClient({
    version: '1.2.3',
    egress: loopbackOpen,
    closeGraceMs: 0,
    ...options,
  });
  onTestFinished(() => client.close());
  return client;
}

/** A target with the defaults of the API. */
export function httpTarget(url: string, rest: Partial<HttpTarget> = {}): HttpTarget {
  return { kind: 'http', url, method: 'POST', headers: {}, successCodes: [], ...rest };
}

/** The second attempt of an execution with parameters of all three shapes. */
export const sampleDelivery: Delivery = {
  executionId: 7_205_759_403_792_793,
  attempt: 2,
  attemptToken: 'cat_sample',
  jobId: 7_205_759_403_792_001,
  jobKey: { namespace: 'default', group: 'reports', name: 'nächtlich' },
  fireAt: new Date('2026-03-29T01:30:00.250Z'),
  cause: 'SCHEDULE',
  term: 4,
  parameters: { text: 'all', object: { depth: 3 }, list: [{ name: 'day', value: 'monday' }] },
  priority: 0,
  workerId: null,
};

/** A context that keeps the lines, and the abort of its signal. */
export type RecordedContext = DeliveryContext & {
  readonly lines: LogLine[];
  /** How many lines each call of `log` had. */
  readonly calls: number[];
  readonly abort: () => void;
};

/** A context whose log does `store` with each call, or nothing. */
export function recordedContext(
  store: () => Promise<void> = async () => undefined,
  maxLogBytes = 16_777_216,
): RecordedContext {
  const abort = new AbortController();
  const lines: LogLine[] = [];
  const calls: number[] = [];
  return {
    lines,
    calls,
    signal: abort.signal,
    timeoutMs: 300_000,
    maxLogBytes,
    abort: () => abort.abort(),
    log(added) {
      lines.push(...added);
      calls.push(added.length);
      return store();
    },
  };
}

/** Delivers the sample to a target and returns the result with the log. */
export async function deliverTo(
  target: HttpTarget,
  { maxLogBytes, ...options }: Partial<HttpTargetClientOptions> & { readonly maxLogBytes?: number } = {},
): Promise<{ readonly result: DeliveryResult; readonly lines: readonly LogLine[] }> {
  const context = recordedContext(undefined, maxLogBytes);
  const result = await createClient(options).deliver(target, sampleDelivery, context);
  return { result, lines: context.lines };
}

/** A clock that stands still; its timers fire by hand. */
export class HandClock implements Clock {
  readonly timers = new Map<() => void, number>();
  readonly #at: Date;

  constructor(at = '2026-03-29T01:30:00.000Z') {
    this.#at = new Date(at);
  }

  now(): Date {
    return this.#at;
  }

  monotonicMs(): number {
    return 0;
  }

  setTimer(ms: number, callback: () => void): () => void {
    this.timers.set(callback, ms);
    return () => this.timers.delete(callback);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.setTimer(ms, resolve);
      signal?.addEventListener('abort', () => {
        cancel();
        resolve();
      });
    });
  }

  /** Fires every timer that is set, as if its time had come. */
  fireAll(): void {
    const callbacks = [...this.timers.keys()];
    this.timers.clear();
    for (const callback of callbacks) callback();
  }
}
