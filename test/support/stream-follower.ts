/** A client that follows a stream and writes down what it was shown. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { type CallOptions, Code, ConnectError } from '@connectrpc/connect';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import type {
  ExecutionServiceStreamRequestSchema,
  ExecutionServiceStreamResponse,
} from '../../gen/carillon/v1/execution_service_pb.js';
import type { InstanceClient } from './instance-process.ts';

/** What Stream takes. */
export type StreamRequest = MessageInitShape<typeof ExecutionServiceStreamRequestSchema>;

/** One thing that a follower was shown. */
export type Shown =
  | {
      readonly kind: 'line';
      readonly executionId: number;
      readonly seq: number;
      readonly message: string;
      readonly atMs: number;
    }
  | {
      readonly kind: 'state';
      readonly executionId: number;
      readonly state: ExecutionState;
      readonly attempt: number;
    }
  | { readonly kind: 'gap'; readonly executionId: number; readonly count: number };

/** Follows one source over any number of connections, from cursor to cursor. */
export class StreamFollower {
  readonly #request: StreamRequest;
  readonly shown: Shown[] = [];
  #cursor = '';
  /** How many messages have come, heartbeats included: one says that the stream is there. */
  received = 0;

  constructor(request: StreamRequest) {
    this.#request = request;
  }

  /** How many messages it has been shown. */
  get count(): number {
    return this.shown.length;
  }

  /**
   * Follows through a client until `enough` says so, then leaves in the middle
   * of the stream. True when the server ended the stream itself; false when the
   * follower left or the connection broke.
   */
  async follow(
    client: InstanceClient,
    enough: (follower: this) => boolean,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const leaving = new AbortController();
    const options: CallOptions = {
      signal: signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal,
    };
    try {
      for await (const message of client.executions.stream(
        { ...this.#request, cursor: this.#cursor },
        options,
      )) {
        this.#cursor = message.cursor;
        this.received++;
        this.#show(message);
        if (enough(this)) {
          leaving.abort();
          return false;
        }
      }
      return true;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if ([Code.Canceled, Code.Unavailable, Code.Aborted].includes(code)) return false;
      throw error;
    }
  }

  /** The seqs of the lines of each execution, in the order in which they were shown. */
  seqsByExecution(): ReadonlyMap<number, readonly number[]> {
    const seqs = new Map<number, number[]>();
    for (const item of this.shown) {
      if (item.kind !== 'line') continue;
      const own = seqs.get(item.executionId) ?? [];
      own.push(item.seq);
      seqs.set(item.executionId, own);
    }
    return seqs;
  }

  /** The executions whose final state was shown, in that order. */
  finished(): readonly number[] {
    return this.shown
      .filter((item) => item.kind === 'state' && isFinalState(item.state))
      .map((item) => item.executionId);
  }

  #show({ event }: ExecutionServiceStreamResponse): void {
    switch (event.case) {
      case 'log':
        this.shown.push({
          kind: 'line',
          executionId: Number(event.value.executionId),
          seq: Number(event.value.seq),
          message: event.value.message,
          atMs: Date.now(),
        });
        break;
      case 'execution': {
        const { id, state, attempt } = event.value;
        this.shown.push({ kind: 'state', executionId: Number(id), state, attempt });
        break;
      }
      case 'gap':
        this.shown.push({
          kind: 'gap',
          executionId: Number(event.value.executionId),
          count: Number(event.value.count),
        });
        break;
      default:
    }
  }
}

/** Whether a state is final. */
export const isFinalState = (state: ExecutionState): boolean =>
  state !== ExecutionState.PENDING && state !== ExecutionState.RUNNING;
