import type { FieldViolation } from './errors.ts';
import { httpTemplateOf } from './http-template.ts';
import type { HttpTarget } from './job.ts';
import { isSecretName, secretNameRule } from './secret.ts';

/** The bounds of an HTTP target; the same numbers as in target.proto. */
export const httpTargetLimits = {
  maxUrlLength: 2_048,
  maxHeaders: 64,
  maxHeaderNameLength: 256,
  maxHeaderValueLength: 8_192,
  maxBodyBytes: 1_048_576,
  maxSuccessCodes: 64,
  minSuccessCode: 200,
  maxSuccessCode: 599,
  maxTimeoutMs: 86_400_000,
  maxSecretHeaders: 16,
  minHeartbeatTimeoutMs: 1_000,
  maxHeartbeatTimeoutMs: 86_400_000,
} as const;

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

const reservedNames: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'idempotency-key',
]);

const reservedPrefixes = ['proxy-', 'carillon-', 'webhook-'] as const;

// RFC 9110, 5.6.2.
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// Control characters apart from the tab; CR, LF and NUL are what header smuggling is made of.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const controlInValue = /[\x00-\x08\x0a-\x1f\x7f]/;
// The URL parser would silently strip or escape these, so that what is stored is not what is called.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const controlOrBlank = /[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]/;
// The two slashes are asked for because the parser takes `http:host` as absolute, too.
const absoluteHttpUrl = /^https?:\/\/[^/?#\\]/i;
const userInfo = /^https?:\/\/[^/?#\\]*@/i;

/** Whether a header of this name belongs to the connection, to Carillon or to the signature. */
function isReserved(name: string): boolean {
  const lower = name.toLowerCase();
  return reservedNames.has(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix));
}

/**
 * Everything that is wrong with an HTTP target, in the order of its fields;
 * empty when it can be called. `path` is where the target stands in the
 * request (`job.target.http`). Whether the address may be called is judged
 * when the socket connects, never here: names change their meaning.
 */
export function validateHttpTarget(target: HttpTarget, path: string): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string): void => {
    violations.push({ field: `${path}.${field}`, description });
  };
  const template = target.template ? httpTemplateOf(target) : undefined;
  const wrongUrl = isLongerThan(target.url, httpTargetLimits.maxUrlLength)
    ? `must have at most ${httpTargetLimits.maxUrlLength} characters`
    : urlFault(template?.sampleUrl ?? target.url);
  if (wrongUrl) refuse('url', wrongUrl);
  if (!methods.has(target.method)) refuse('method', `must be one of ${[...methods].join(', ')}`);
  refuseHeaders(target.headers, refuse);
  refuseSecretHeaders(target, refuse);
  refuseBody(target, refuse);
  refuseSuccessCodes(target.successCodes, refuse);
  refuseTimeout(target.timeoutMs, refuse);
  refuseSecretName(target.signingSecretName, refuse);
  refuseHeartbeatTimeout(target.heartbeatTimeoutMs, refuse);
  for (const { field, description } of template?.violations ?? []) refuse(field, description);
  return violations;
}

type Refuse = (field: string, description: string) => void;

function urlFault(url: string): string | undefined {
  if (controlOrBlank.test(url)) return 'must not contain blanks or control characters; escape them as %20';
  if (!absoluteHttpUrl.test(url)) return 'must be an absolute URL that begins with http:// or https://';
  if (userInfo.test(url)) return 'must not contain a user or password; use an Authorization header';
  if (!URL.canParse(url)) return 'must be a valid URL such as https://host.example/path';
  return undefined;
}

function refuseHeaders(headers: Readonly<Record<string, string>>, refuse: Refuse): void {
  const { maxHeaders } = httpTargetLimits;
  const names = Object.keys(headers);
  if (names.length > maxHeaders) {
    refuse('headers', `must have at most ${maxHeaders} entries`);
    return;
  }
  const seen = new Map<string, string>();
  for (const name of names) {
    const field = `headers[${JSON.stringify(name)}]`;
    const first = seen.get(name.toLowerCase());
    seen.set(name.toLowerCase(), first ?? name);
    const fault = nameFault(name, first) ?? valueFault(headers[name] as string);
    if (fault) refuse(field, fault);
  }
}

function refuseSecretHeaders({ headers, secretHeaders }: HttpTarget, refuse: Refuse): void {
  const { maxSecretHeaders } = httpTargetLimits;
  if (secretHeaders === undefined) return;
  const entries = Object.entries(secretHeaders);
  if (entries.length > maxSecretHeaders) {
    refuse('secret_headers', `must have at most ${maxSecretHeaders} entries`);
    return;
  }
  const plain = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const seen = new Map<string, string>();
  for (const [name, secret] of entries) {
    const lower = name.toLowerCase();
    const first = seen.get(lower);
    seen.set(lower, first ?? name);
    const fault = nameFault(name, first) ?? secretFault(lower, secret, plain);
    if (fault) refuse(`secret_headers[${JSON.stringify(name)}]`, fault);
  }
}

function secretFault(lower: string, secret: string, plain: ReadonlySet<string>): string | undefined {
  if (plain.has(lower)) return 'is among the headers, too; keep one of them';
  // A template escapes the body by the first; the second is not the user's to set.
  if (lower === 'content-type' || lower === 'accept-encoding')
    return 'must not be a secret; put it into headers';
  return isSecretName(secret) ? undefined : `the name of the secret ${secretNameRule}`;
}

function nameFault(name: string, first: string | undefined): string | undefined {
  const { maxHeaderNameLength } = httpTargetLimits;
  if (isLongerThan(name, maxHeaderNameLength)) {
    return `the name must have at most ${maxHeaderNameLength} characters`;
  }
  if (!token.test(name)) return "the name must be an HTTP token: letters, digits and !#$%&'*+-.^_`|~";
  if (isReserved(name)) return 'is set by the connection or by Carillon; leave it out';
  if (first !== undefined) return `differs from ${JSON.stringify(first)} only in case; keep one of them`;
  return undefined;
}

function valueFault(value: string): string | undefined {
  const { maxHeaderValueLength } = httpTargetLimits;
  if (isLongerThan(value, maxHeaderValueLength)) {
    return `the value must have at most ${maxHeaderValueLength} characters`;
  }
  if (controlInValue.test(value)) return 'the value must be one line without control characters';
  return undefined;
}

function refuseBody(target: HttpTarget, refuse: Refuse): void {
  const { maxBodyBytes } = httpTargetLimits;
  if (target.body === undefined) return;
  if (target.method === 'GET' || target.method === 'HEAD') {
    refuse('body', `must be absent, because ${target.method} is sent without a body`);
  } else if (isLongerInUtf8(target.body, maxBodyBytes)) {
    refuse('body', `must have at most ${maxBodyBytes} bytes in UTF-8`);
  }
}

function refuseSuccessCodes(codes: readonly number[], refuse: Refuse): void {
  const { maxSuccessCodes, minSuccessCode, maxSuccessCode } = httpTargetLimits;
  if (codes.length > maxSuccessCodes) {
    refuse('success_codes', `must have at most ${maxSuccessCodes} entries`);
    return;
  }
  for (const [i, code] of codes.entries()) {
    if (!Number.isInteger(code) || code < minSuccessCode || code > maxSuccessCode) {
      refuse(`success_codes[${i}]`, `must be a status code from ${minSuccessCode} to ${maxSuccessCode}`);
    } else if (codes.indexOf(code) < i) {
      refuse(`success_codes[${i}]`, `must not repeat ${code}`);
    }
  }
}

function refuseTimeout(timeoutMs: number | undefined, refuse: Refuse): void {
  const { maxTimeoutMs } = httpTargetLimits;
  if (timeoutMs === undefined) return;
  if (!(timeoutMs >= 1 && timeoutMs <= maxTimeoutMs))
    refuse('timeout', 'must be from 1 millisecond to 24 hours');
}

function refuseSecretName(name: string | undefined, refuse: Refuse): void {
  if (name !== undefined && !isSecretName(name)) refuse('signing_secret_name', secretNameRule);
}

function refuseHeartbeatTimeout(timeoutMs: number | undefined, refuse: Refuse): void {
  const { minHeartbeatTimeoutMs, maxHeartbeatTimeoutMs } = httpTargetLimits;
  if (timeoutMs === undefined) return;
  if (!(timeoutMs >= minHeartbeatTimeoutMs && timeoutMs <= maxHeartbeatTimeoutMs)) {
    refuse('heartbeat_timeout', 'must be from 1 second to 24 hours');
  }
}

/** Counts characters as the proto's bounds do: by code point. */
function isLongerThan(text: string, max: number): boolean {
  return text.length > max && (text.length > 2 * max || [...text].length > max);
}

function isLongerInUtf8(text: string, maxBytes: number): boolean {
  // A UTF-16 unit takes at most three bytes: short bodies, which are all but a few, are not encoded for this.
  return text.length * 3 > maxBytes && new TextEncoder().encode(text).length > maxBytes;
}
