/** Runs the handler of an opened call. The protocols differ in how they carry its answers away. */
import type { Message } from '@bufbuild/protobuf';
import { DomainError } from '../domain/errors.ts';
import type { Call } from './call.ts';
import type { BidiMethod, RequestStream, StreamMethod, UnaryMethod } from './services/service.ts';

/** Checks the request, runs the handler, and settles the call with what comes of it. */
export function serveUnary(method: UnaryMethod, call: Call, request: Message): void {
  if (call.isSettled) return;
  try {
    call.check(request);
    method.handle(request, call).then(
      (response) => succeedWith(call, response),
      (error: unknown) => call.fail(error),
    );
  } catch (error) {
    call.fail(error);
  }
}

function succeedWith(call: Call, response: Message): void {
  if (call.isSettled) return;
  try {
    call.succeed(call.encode(response));
  } catch (error) {
    call.fail(error);
  }
}

/** Starts the handler of a stream: its responses, not yet asked for. */
export type StartHandler = () => AsyncIterator<Message>;

/** Checks the request and starts the handler. Throws the refusal. */
export function startStream(method: StreamMethod, call: Call, request: Message): AsyncIterator<Message> {
  call.check(request);
  return method.handle(request, call)[Symbol.asyncIterator]();
}

/** Starts the handler; the requests are checked as it takes them. */
export function startBidi(method: BidiMethod, call: Call, requests: RequestStream): AsyncIterator<Message> {
  return method.handle(requests, call)[Symbol.asyncIterator]();
}

/**
 * Starts a handler and yields what it yields, no faster than it is taken.
 * Ends when the call settles, whoever settles it, and then lets go of the
 * handler's iterator; the call says whether it failed. Stopping to iterate is
 * how a protocol says that the caller went away.
 */
export async function* serveResponses(call: Call, start: StartHandler): AsyncGenerator<Message, void, void> {
  let messages: AsyncIterator<Message> | undefined;
  let free = (): void => undefined;
  const letGo = (): void => {
    // Not awaited: a generator that waits returns when the call's signal frees it.
    messages?.return?.().catch(() => undefined);
  };
  call.whenSettled(() => {
    free();
    // Here too, because a response that nobody takes keeps the one who iterates for ever.
    letGo();
  });
  try {
    if (call.isSettled) return;
    const started = start();
    messages = started;
    while (!call.isSettled) {
      const step = await new Promise<IteratorResult<Message> | undefined>((resolve, reject) => {
        free = () => resolve(undefined);
        started.next().then(resolve, reject);
      });
      if (step === undefined || call.isSettled) return;
      if (step.done === true) return call.succeed();
      yield step.value;
    }
  } catch (error) {
    call.fail(error);
  } finally {
    call.fail(callerIsGone());
    letGo();
  }
}

/** The failure of a call whose caller went away. */
export function callerIsGone(): DomainError {
  return new DomainError('CANCELED', 'the caller canceled the call');
}

/** The failure of calls that reach a server that stops, and of the streams that it ends. */
export function serverIsStopping(): DomainError {
  return new DomainError('UNAVAILABLE', 'the server is shutting down; try again', { retryAfterMs: 1_000 });
}
