/** Runs the handler of an opened call. The protocols differ in how they carry its answers away. */
import type { Message } from '@bufbuild/protobuf';
import { DomainError, invalidField } from '../domain/errors.ts';
import type { Call } from './call.ts';
import type { StreamMethod, UnaryMethod } from './services/service.ts';

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

/**
 * Checks the request and yields what the handler yields, no faster than it is
 * taken. Ends when the call settles, whoever settles it, and then lets go of
 * the handler's iterator; the call says whether it failed. Stopping to iterate
 * is how a protocol says that the caller went away.
 */
export async function* serveStream(
  method: StreamMethod,
  call: Call,
  request: Message,
): AsyncGenerator<Message, void, void> {
  let messages: AsyncIterator<Message> | undefined;
  try {
    if (call.isSettled) return;
    call.check(request);
    messages = method.handle(request, call)[Symbol.asyncIterator]();
    while (!call.isSettled) {
      const step = await call.untilSettled(messages.next());
      if (step === undefined || call.isSettled) return;
      if (step.done === true) return call.succeed();
      yield step.value;
    }
  } catch (error) {
    call.fail(error);
  } finally {
    call.fail(callerIsGone());
    // Not awaited: a generator that waits returns when the call's signal frees it.
    messages?.return?.().catch(() => undefined);
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

/**
 * The refusal of bytes or text that are not the message they should be, with
 * the field where the decoder names one.
 */
export function malformedRequest(why: string): DomainError {
  const unknownKey = /^cannot decode message ([\w.]+) from JSON: key "(.*)" is unknown$/s.exec(why);
  if (unknownKey !== null) return invalidField(unknownKey[2] ?? '', `is not a field of ${unknownKey[1]}`);
  const badValue = /^cannot decode (?:field|oneof) (?:\w+\.)*(\w+) from JSON: (.*)$/s.exec(why);
  if (badValue !== null) return invalidField(badValue[1] ?? '', badValue[2] ?? '');
  return new DomainError('INVALID_ARGUMENT', `the request cannot be decoded: ${why}`, {
    metadata: { description: why },
  });
}
