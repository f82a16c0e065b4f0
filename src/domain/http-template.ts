/**
 * HTTP targets whose url, header values and body hold placeholders.
 *
 * A value comes from whoever triggers, so every place escapes it for the
 * grammar that it stands in, and nothing that the definition does not say can
 * be made of the request: not another host, not a further header, not another
 * member of a JSON body. Which grammar that is, is found once for a definition;
 * within a JSON body it is followed character by character, because a
 * placeholder within a string and one in place of a value need different
 * escapes. A JSON body is tried with samples, which any value may then replace.
 */
import { type FieldViolation, invalidField } from './errors.ts';
import type { HttpTarget, Json } from './job.ts';
import {
  parseTemplate,
  type TemplatePart,
  TemplateSyntaxError,
  type TemplateValues,
  valueOfPlaceholder,
} from './template.ts';

/** The bounds of what is sent once the placeholders have their values. */
export const filledLimits = { maxTextLength: 8_192, maxBodyBytes: 1_048_576 } as const;

/** What of a target its template fills in. */
export type FilledTarget = Pick<HttpTarget, 'url' | 'headers' | 'body'>;

/** A template ready to be filled in, or what is wrong with it; paths are relative to the target. */
export type HttpTemplate = {
  readonly violations: readonly FieldViolation[];
  /** The url with `x` for every placeholder: good exactly if every filled one is. */
  readonly sampleUrl: string;
  readonly url: readonly FilledPart[];
  readonly headers: readonly (readonly [name: string, value: readonly FilledPart[]])[];
  readonly body: readonly FilledPart[] | undefined;
};

/** Text as it is, or what writes a value of an attempt. */
type FilledPart = string | ((values: TemplateValues) => string);

/** Writes a value so that it cannot leave its place. */
type Escape = (value: Json | undefined) => string;

// By definition, which is kept by those who deliver: a template is taken apart once, not for each attempt.
const known = new WeakMap<HttpTarget, HttpTemplate>();

/** The template of a target; made once for each definition. */
export function httpTemplateOf(target: HttpTarget): HttpTemplate {
  let template = known.get(target);
  if (template === undefined) {
    template = compileTemplate(target);
    known.set(target, template);
  }
  return template;
}

/**
 * Fills in the template of a target that has no violations.
 *
 * @throws DomainError where a value does not fit its place, which another attempt would not change.
 */
export function fillHttpTemplate(target: HttpTarget, values: TemplateValues): FilledTarget {
  const template = httpTemplateOf(target);
  const url = fill(template.url, values, filledLimits.maxTextLength, 'target.url');
  if (dotSegments(url) > dotSegments(template.sampleUrl)) {
    throw invalidField('target.url', 'a parameter adds a . or .. segment to its path');
  }
  const headers = template.headers.map(([name, parts]) => {
    const field = `target.headers[${JSON.stringify(name)}]`;
    const value = fill(parts, values, filledLimits.maxTextLength, field);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) {
      throw invalidField(field, 'a parameter makes it more than one line without control characters');
    }
    return [name, value] as const;
  });
  const { maxBodyBytes } = filledLimits;
  const body = template.body && fill(template.body, values, maxBodyBytes, 'target.body');
  // A UTF-16 unit takes at most three bytes.
  if (body && body.length * 3 > maxBodyBytes && new TextEncoder().encode(body).length > maxBodyBytes) {
    throw invalidField('target.body', `has more than ${maxBodyBytes} bytes with its placeholders filled in`);
  }
  return { url, headers: Object.fromEntries(headers), body };
}

/** Ends as soon as the bound is passed, so that a short template cannot make a long text. */
function fill(
  parts: readonly FilledPart[],
  values: TemplateValues,
  maxLength: number,
  field: string,
): string {
  let text = '';
  for (const part of parts) {
    text += typeof part === 'string' ? part : part(values);
    if (text.length > maxLength) {
      throw invalidField(field, `has more than ${maxLength} characters with its placeholders filled in`);
    }
  }
  return text;
}

// The parser takes both spellings as steps within the path.
const dotSegment = /^(?:\.|%2e){1,2}$/i;

function dotSegments(url: string): number {
  const path = /^[^?#]*/.exec(url)![0];
  return path.split(/[/\\]/).filter((segment) => dotSegment.test(segment)).length;
}

// Up to where a host could still be changed: it must be over before the first placeholder.
const wholeAuthority = /^https?:\/\/[^/?#\\]+[/?#]/i;

function compileTemplate(target: HttpTarget): HttpTemplate {
  const violations: FieldViolation[] = [];
  const parse = (field: string, text: string): readonly TemplatePart[] => {
    try {
      return parseTemplate(text);
    } catch (error) {
      if (!(error instanceof TemplateSyntaxError)) throw error;
      violations.push({ field, description: error.message });
      return [];
    }
  };
  const url = parse('url', target.url);
  const isFaulty = violations.length > 0;
  if (url.some(isPlaceholder) && !(typeof url[0] === 'string' && wholeAuthority.test(url[0]))) {
    violations.push({ field: 'url', description: 'may have placeholders in its path and query only' });
  }
  const headers = Object.entries(target.headers).map(([name, value]) => {
    const field = `headers[${JSON.stringify(name)}]`;
    const parts = parse(field, value);
    if (name.toLowerCase() === 'content-type' && parts.some(isPlaceholder)) {
      const description = 'must not have placeholders, because it says how those of the body are escaped';
      violations.push({ field, description });
    }
    return [name, parts.map((part) => filledPart(part, asText))] as const;
  });
  let body: readonly FilledPart[] | undefined;
  if (target.body !== undefined) {
    const parts = parse('body', target.body);
    const write = escapeOfBody(contentTypeOf(target.headers));
    if (write !== undefined) body = parts.map((part) => filledPart(part, write));
    else {
      body = filledJson(parts);
      if (parts.some(isPlaceholder) && !isJson(sampleJson(parts))) {
        const description =
          'must be JSON whatever its placeholders stand for; where it is not meant to be, set a Content-Type header';
        violations.push({ field: 'body', description });
      }
    }
  }
  return {
    violations,
    sampleUrl: isFaulty
      ? 'http://faulty.invalid/'
      : url.map((part) => (isPlaceholder(part) ? 'x' : part)).join(''),
    url: url.map((part) => filledPart(part, asUrl)),
    headers,
    body,
  };
}

const isPlaceholder = (part: TemplatePart): part is Exclude<TemplatePart, string> => typeof part !== 'string';

function filledPart(part: TemplatePart, write: Escape): FilledPart {
  if (!isPlaceholder(part)) return part;
  // What the place does anyway is not done twice.
  const own = write === asUrl ? 'url' : write === asJson ? 'json' : undefined;
  const asked = part.filters.at(-1) === own ? part.filters.slice(0, -1) : part.filters;
  return (values) => {
    const value = asked.reduce<Json | undefined>(
      (before, filter) => (filter === 'json' ? asJson(before) : asUrl(before)),
      valueOfPlaceholder(part, values),
    );
    return write(value);
  };
}

const asJson: Escape = (value) => JSON.stringify(value ?? null);

/** Texts as they are, nothing for what is absent, the rest as JSON. */
const asText: Escape = (value) => {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
};

const asUrl: Escape = (value) => encodeURIComponent(asText(value).toWellFormed());

/** As text within the quotes of a JSON string. */
const asJsonText: Escape = (value) => JSON.stringify(asText(value)).slice(1, -1);

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const asMarkup: Escape = (value) => asText(value).replace(/[&<>"']/g, (character) => entities[character]!);

function contentTypeOf(headers: HttpTarget['headers']): string {
  const name = Object.keys(headers).find((each) => each.toLowerCase() === 'content-type');
  const value = name === undefined ? 'application/json' : headers[name]!;
  return value.split(';', 1)[0]!.trim().toLowerCase();
}

/** The escape of a body by its media type; undefined for JSON, where it depends on the place. */
function escapeOfBody(mediaType: string): Escape | undefined {
  if (/[/+]json$/.test(mediaType)) return undefined;
  if (mediaType === 'application/x-www-form-urlencoded') return asUrl;
  return /[/+](?:xml|html)$/.test(mediaType) ? asMarkup : asText;
}

function filledJson(parts: readonly TemplatePart[]): readonly FilledPart[] {
  return withJsonPlaces(parts, (part, isInString) => filledPart(part, isInString ? asJsonText : asJson));
}

/**
 * The body with the weakest values that there are: `x` is no escape of JSON, so
 * nothing before it can swallow what stands in a string, and `null` joins with
 * nothing beside it.
 */
function sampleJson(parts: readonly TemplatePart[]): string {
  return withJsonPlaces(parts, (part, isInString) =>
    isPlaceholder(part) ? (isInString ? 'x' : 'null') : part,
  ).join('');
}

/** Goes through a JSON body and tells of each part whether it begins within a string. */
function withJsonPlaces<T>(
  parts: readonly TemplatePart[],
  make: (part: TemplatePart, isInString: boolean) => T,
): T[] {
  let isInString = false;
  return parts.map((part) => {
    const made = make(part, isInString);
    // An escaped quote does not end a string; outside of strings there are no backslashes in JSON.
    const quotes = isPlaceholder(part) ? [] : (part.replace(/\\[\s\S]/g, '').match(/"/g) ?? []);
    if (quotes.length % 2 === 1) isInString = !isInString;
    return made;
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
