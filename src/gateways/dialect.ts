/**
 * What a gateway is: the routes of one documented HTTP API, each of which
 * translates a request, makes the calls that it names, and translates the
 * answer; and the shape in which that API tells that something failed.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import type { Zone } from '../domain/schedule/zone.ts';
import type { Clock } from '../platform/clock.ts';
import type { Failure } from './failure.ts';
import type { GatewayRequest } from './gateway-request.ts';

/** An answer of a dialect. */
export type Answer = {
  /** Default 200. */
  readonly status?: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** The header that names the execution which a request made, in answers that have no place for it. */
export const executionIdHeader = 'carillon-execution-id';

/** Answers with JSON. */
export function jsonAnswer(body: unknown, more: Omit<Partial<Answer>, 'body' | 'type'> = {}): Answer {
  return { ...more, type: 'application/json', body: JSON.stringify(body) };
}

/** One path of a dialect. */
export type Route = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With `:name` for its variable parts. */
  readonly path: string;
  /** The calls that it may make; others are a fault of the program. */
  readonly rpcs: readonly DescMethod[];
  handle(request: GatewayRequest): Promise<Answer>;
};

/** What decides whose a request is. */
export type RequestLine = { readonly method: string; readonly path: string; readonly query: string };

/** One documented API. */
export type Dialect = {
  readonly routes: readonly Route[];
  /** Whether a request is clearly meant for it: then it is answered in its shape, also where there is no route. */
  owns(line: RequestLine): boolean;
  /** The header that carries the caller's token before `authorization` does. */
  readonly tokenHeader?: string;
  /** Makes the id of a request that brings none. Default: the chain does. */
  createRequestId?(): string;
  /** A failure in its shape. */
  refuse(failure: Failure, request: GatewayRequest): Answer;
};

/** What dialects are made with. */
export type DialectOptions = {
  readonly clock: Clock;
  /** The zone of local times and cron expressions, where a dialect has no way to name one. */
  readonly zone: Zone;
};
