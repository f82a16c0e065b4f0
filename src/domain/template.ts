import type { JobKey, Json, Parameters } from './job.ts';

/** What the placeholders of a template may name: one attempt. */
export type TemplateValues = {
  readonly executionId: number;
  readonly attempt: number;
  readonly attemptToken: string;
  readonly jobId: number;
  readonly jobKey: JobKey;
  readonly fireAt: Date;
  readonly cause: string;
  readonly term: number;
  readonly parameters: Parameters;
};

/** A placeholder: what it names, and the escapes that the user asks for, in their order. */
export type Placeholder = { readonly path: readonly string[]; readonly filters: readonly Filter[] };

/** Text as it is, or a placeholder. */
export type TemplatePart = string | Placeholder;

/** An escape that can be asked for. */
export type Filter = 'json' | 'url';

/** Says what is wrong with a template, and at which character. */
export class TemplateSyntaxError extends Error {
  override readonly name = 'TemplateSyntaxError';
}

/** The most placeholders of one text: each may go through all parameters, for every attempt. */
export const maxPlaceholders = 1_000;

const filters: ReadonlySet<string> = new Set<Filter>(['json', 'url']);

// Names in a path: whatever cannot be taken for the grammar around them.
const pathPattern = /^[^\s.|{}]+(?:\.[^\s.|{}]+)*$/;

/** Placeholders without a path of the user's own behind them. */
const plainNames: ReadonlySet<string> = new Set([
  'execution_id',
  'attempt',
  'attempt_token',
  'fire_time',
  'cause',
  'term',
  'job.id',
  'job.namespace',
  'job.group',
  'job.name',
  'parameters',
  'parameters.text',
  'parameters.object',
]);

const knownNames = [...plainNames, 'parameters.object.PATH', 'parameters.list.NAME'].join(', ');

/**
 * Takes a template apart. `{{ name | filter }}` is a placeholder, `{{{{` stands
 * for two braces, everything else for itself, `}}` too. Positions count
 * characters from 1.
 *
 * @throws TemplateSyntaxError for a placeholder that has no end or is not known, and for too many of them.
 */
export function parseTemplate(text: string): readonly TemplatePart[] {
  const parts: TemplatePart[] = [];
  let literal = '';
  let at = 0;
  let count = 0;
  for (;;) {
    const open = text.indexOf('{{', at);
    literal += text.slice(at, open < 0 ? undefined : open);
    if (open < 0) break;
    if (text.startsWith('{{{{', open)) {
      literal += '{{';
      at = open + 4;
      continue;
    }
    const close = text.indexOf('}}', open + 2);
    const position = `at character ${open + 1}`;
    if (close < 0) {
      throw new TemplateSyntaxError(`the placeholder ${position} has no }}; write {{{{ for two braces`);
    }
    if (literal !== '') parts.push(literal);
    literal = '';
    if (++count > maxPlaceholders)
      throw new TemplateSyntaxError(`must have at most ${maxPlaceholders} placeholders`);
    parts.push(placeholderFrom(text.slice(open + 2, close), position));
    at = close + 2;
  }
  if (literal !== '') parts.push(literal);
  return parts;
}

function placeholderFrom(text: string, position: string): Placeholder {
  const [name = '', ...asked] = text.split('|').map((each) => each.trim());
  const isKnown =
    plainNames.has(name) || (pathPattern.test(name) && /^parameters\.(?:object\..|list\.[^.]+$)/.test(name));
  if (!isKnown) {
    throw new TemplateSyntaxError(
      `the placeholder ${position} is not known; there are ${knownNames}; write {{{{ for two braces`,
    );
  }
  const unknown = asked.find((filter) => !filters.has(filter));
  if (unknown !== undefined) {
    throw new TemplateSyntaxError(
      `the placeholder ${position} has an unknown escape; there are json and url`,
    );
  }
  // Each round of escapes can double what the one before has added.
  if (new Set(asked).size < asked.length) {
    throw new TemplateSyntaxError(`the placeholder ${position} has an escape twice`);
  }
  return { path: name.split('.'), filters: asked as Filter[] };
}

/** What a placeholder stands for in an attempt; undefined where the attempt has nothing of that name. */
export function valueOfPlaceholder({ path }: Placeholder, values: TemplateValues): Json | undefined {
  const [first, second] = path;
  switch (first) {
    case 'execution_id':
      return values.executionId;
    case 'attempt':
      return values.attempt;
    case 'attempt_token':
      return values.attemptToken;
    case 'fire_time':
      return values.fireAt.toISOString();
    case 'cause':
      return values.cause;
    case 'term':
      return values.term;
    case 'job': {
      const { namespace, group, name } = values.jobKey;
      return memberOf({ id: values.jobId, namespace, group, name }, second!);
    }
    default:
      return valueOfParameters(values.parameters, path.slice(1));
  }
}

function valueOfParameters({ text, object, list }: Parameters, path: readonly string[]): Json | undefined {
  const [shape, ...names] = path;
  switch (shape) {
    case undefined:
      return {
        ...(text !== undefined && { text }),
        ...(object && { object }),
        ...(list && { list: list.map(({ name, value }) => ({ name, value })) }),
      };
    case 'text':
      return text;
    case 'list':
      return list?.find(({ name }) => name === names[0])?.value;
    default:
      return names.reduce<Json | undefined>(memberOf, object);
  }
}

/** Own members only: what every object inherits is nobody's parameter. */
function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return /^\d+$/.test(name) ? value[Number(name)] : undefined;
  return Object.hasOwn(value, name) ? (value as { readonly [key: string]: Json })[name] : undefined;
}
