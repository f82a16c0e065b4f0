import { DomainError, invalidField } from '../domain/errors.ts';

/** Stands in for a request whose bytes or text are not the message they should be, so that the chain refuses it. */
export class MalformedRequest {
  readonly error: DomainError;

  constructor(error: DomainError) {
    this.error = error;
  }
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
