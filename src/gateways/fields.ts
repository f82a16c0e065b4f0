/** The fields of requests: what dialects have in common in their schemas, and how a violation is told. */
import type { JsonObject } from '@bufbuild/protobuf';
import { z } from 'zod';
import { RequestRefused } from './failure.ts';

/** How many violations are told at once. */
const maxTold = 5;

/** Words a violation by what the field must be. */
const mustBe =
  (what: string) =>
  (issue: { readonly input?: unknown }): string =>
    issue.input === undefined ? 'must be set' : `must be ${what}`;

/** A text. */
export const text = z.string({ error: mustBe('text') });

/** A text of 1 to `max` characters, counted as people do: by code points. */
export const textUpTo = (max: number, min = 1) =>
  text
    .refine((value) => value.length >= min, { error: 'must not be empty' })
    .refine(
      // A code point takes one or two units.
      (value) => value.length <= max || (value.length <= 2 * max && [...value].length <= max),
      { error: `must have at most ${max} characters` },
    );

/** A whole number, as a number or in decimal digits. */
export const wholeNumber = (min: number, max: number) =>
  z.unknown().transform((value, context): number => {
    if (value === undefined) return refuse(context, 'must be set');
    const isDigits = typeof value === 'string' && /^\s*-?\d{1,18}\s*$/.test(value);
    const number = isDigits ? Number(value) : value;
    if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max)
      return number;
    return refuse(context, `must be a whole number from ${min} to ${max}`);
  });

/** The id of a job: beyond 2^53 a number does not say any more which one is meant. */
export const jobId = wholeNumber(1, Number.MAX_SAFE_INTEGER).transform(BigInt);

/** True or false, as such or in words. */
export const flag = z.unknown().transform((value, context): boolean => {
  const word = typeof value === 'string' ? value.trim().toLowerCase() : value;
  if (word === true || word === 'true') return true;
  if (word === false || word === 'false') return false;
  return refuse(context, value === undefined ? 'must be set' : 'must be true or false');
});

/** One of these words. */
export const oneOf = <const Words extends readonly string[]>(words: Words) =>
  z.enum(words, { error: mustBe(words.join(' or ')) });

/** An object with these fields; others are passed over. */
export const object = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.object(shape, { error: mustBe('an object') });

/** An object of any JSON. */
export const jsonObject = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  { error: mustBe('an object') },
);

/** A list. */
export const list = <Item extends z.ZodType>(item: Item, max: number) =>
  z.array(item, { error: mustBe('a list') }).max(max, { error: `must have at most ${max} entries` });

/** What a transformation returns behind a violation. */
export function refuse(context: z.core.$RefinementCtx, message: string): never {
  context.issues.push({ code: 'custom', message, input: context.value });
  return z.NEVER;
}

/**
 * Reads a value by its schema.
 *
 * @throws RequestRefused that names the fields and what each must be.
 */
export function parseFields<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where = '',
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  const told = issues.slice(0, maxTold).map(({ path, message }) => `${nameOf(path, where)}: ${message}`);
  const more = issues.length > maxTold ? `; and ${issues.length - maxTold} more` : '';
  throw new RequestRefused(400, told.join('; ') + more);
}

function nameOf(path: readonly PropertyKey[], where: string): string {
  const name = path.reduce<string>((before, part) => {
    if (typeof part === 'number') return `${before}[${part}]`;
    return before === '' ? String(part) : `${before}.${String(part)}`;
  }, where);
  return name === '' ? 'the body' : name;
}
