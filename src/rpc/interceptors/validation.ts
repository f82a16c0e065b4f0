/**
 * What a request must be before a handler sees it: decoded, well-formed, and
 * within the rules that its proto writes on the fields. Whatever breaks a rule
 * is named by its proto path with the rule in words.
 */

import { create, getOption } from '@bufbuild/protobuf';
import { type Path, pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator, type Violation } from '@bufbuild/protovalidate';
import { field as fieldRules } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { DomainError, type FieldViolation } from '../../domain/errors.ts';
import type { Interceptor } from '../call.ts';
import type { Service } from '../services/service.ts';
import { isSurelyValid } from '../surely-valid.ts';
import { findMalformed } from '../well-formed.ts';

/**
 * Refuses requests that break the rules on their fields, all of them named in
 * one BadRequest. The rules of the services are compiled here and now, so that
 * no first call pays for it.
 */
export function validateRequests(services: readonly Service[]): Interceptor {
  for (const { desc } of services.flatMap((service) => service.methods)) {
    const empty = create(desc.input);
    findMalformed(desc.input, empty);
    isSurelyValid(desc.input, empty);
    validator.validate(desc.input, empty);
  }
  return {
    name: 'validation',
    check(call, request) {
      const { input } = call.method.desc;
      const malformed = findMalformed(input, request);
      if (malformed !== undefined) throw invalidRequest([malformed]);
      if (isSurelyValid(input, request)) return;
      const result = validator.validate(input, request);
      if (result.kind === 'valid') return;
      // Anything but violations is a fault of ours: a rule that cannot be evaluated.
      if (result.kind === 'error') throw result.error;
      throw invalidRequest(firstOfEachField(result.violations));
    },
  };
}

/**
 * Knows every rule and finds every violation. The rules' patterns are constants
 * of our own protos, without nested repetition, so the platform's engine
 * matches them in linear time, and in half of what the default engine takes.
 */
export const validator = createValidator({
  regexMatch(pattern, text) {
    const regExp = patterns.get(pattern) ?? new RegExp(pattern, 'u');
    patterns.set(pattern, regExp);
    return regExp.test(text);
  },
});

const patterns = new Map<string, RegExp>();

/** What the patterns of the protos ask for, in words. */
const patternsInWords: readonly (readonly [pattern: string, words: string])[] = [
  ['\\P{Cc}', 'must not contain control characters'],
  ['^[!#$%&', 'must be an HTTP token'],
  ['\\x7F]', 'must not contain control characters'],
];

/** One violation for each field: the first says enough, and an empty name breaks every rule on it. */
function firstOfEachField(violations: readonly Violation[]): FieldViolation[] {
  const byField = new Map<string, FieldViolation>();
  for (const violation of violations) {
    const field = pathToString(violation.field);
    if (!byField.has(field)) byField.set(field, { field, description: describeViolation(violation) });
  }
  return [...byField.values()];
}

function describeViolation({ ruleId, message, forKey, field }: Violation): string {
  if (ruleId === 'enum.in') return `must be ${namesOfAllowed(field)}`;
  const subject = forKey ? 'the key ' : '';
  if (ruleId === 'string.pattern') {
    const inWords = patternsInWords.find(([pattern]) => message.includes(pattern))?.[1];
    return subject + (inWords ?? 'does not have the right form');
  }
  return subject + message;
}

/** The values that an enum field may have, by name: on the wire and in the rule they are numbers. */
function namesOfAllowed(path: Path): string {
  const field = path.findLast((part) => part.kind === 'field');
  const rules = field && getOption(field, fieldRules).type;
  const allowed = rules?.case === 'enum' ? rules.value.in : [];
  return allowed.map((number) => field?.enum?.value[number]?.name).join(' or ');
}

/** Refuses a request for these violations; there is at least one. */
export function invalidRequest(violations: readonly FieldViolation[]): DomainError {
  const [first, ...others] = violations;
  const { field, description } = first as FieldViolation;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const place = field === '' ? '' : `${field}: `;
  return new DomainError('INVALID_ARGUMENT', `${place}${description}${more}`, {
    metadata: { field, description },
    violations,
  });
}
