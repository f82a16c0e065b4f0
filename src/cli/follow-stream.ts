import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import type {
  ExecutionService,
  ExecutionServiceStreamRequestSchema,
  ExecutionServiceStreamResponse,
} from '../../gen/carillon/v1/execution_service_pb.js';
import { type Backoff, backoffMs } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import { isInterruption } from './error-lines.ts';

/** What following a stream takes. */
export type FollowOptions = {
  readonly request: MessageInitShape<typeof ExecutionServiceStreamRequestSchema>;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Is told when the stream is interrupted, once until it goes on. */
  readonly onInterrupted: () => void;
};

const backoff: Backoff = { initialMs: 100, maxMs: 5_000, multiplier: 2 };

/**
 * A stream that outlives interruptions: when the connection breaks or the
 * service stops, it connects again behind the last message that it saw, for as
 * long as it takes, so that no line is lost and none comes twice. A service
 * that was not there to begin with is an error.
 */
export async function* followStream(
  executions: Client<typeof ExecutionService>,
  { request, signal, clock, onInterrupted }: FollowOptions,
): AsyncGenerator<ExecutionServiceStreamResponse> {
  let cursor = '';
  let failures = 0;
  for (;;) {
    try {
      const options = { signal, timeoutMs: 0 };
      for await (const message of executions.stream({ ...request, cursor }, options)) {
        if (message.cursor) cursor = message.cursor;
        failures = 0;
        yield message;
      }
      return;
    } catch (error) {
      if (signal.aborted || cursor === '' || !isInterruption(error)) throw error;
      if (++failures === 1) onInterrupted();
      await clock.sleep(backoffMs(backoff, failures, 0.2), signal);
    }
  }
}
