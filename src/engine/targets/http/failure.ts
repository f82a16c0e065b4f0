import { STATUS_CODES } from 'node:http';
import { errors } from 'undici';
import { DomainError } from '../../../domain/errors.ts';
import { EgressRefusal } from '../egress.ts';
import type { DeliveryResult } from '../target.ts';
import { first, type ResponseHeaders } from './body-from-headers.ts';
import { neutralText } from './callee-text.ts';

/** The longest wait that a callee can ask for with Retry-After, in milliseconds. */
export const maxRetryAfterMs = 86_400_000;

/** How many characters of a callee's own words stand in a message. */
export const maxQuotedLength = 500;

const retryableStatuses: ReadonlySet<number> = new Set([408, 425, 429]);

/** The end of an attempt that the caller gave up; the caller knows why and decides. */
export const aborted: DeliveryResult = { outcome: 'FAILED', message: 'aborted', retryable: false };

/** The callee has the attempt and will report its end; `loggedBytes` is what it has logged by now. */
export function accepted(loggedBytes: number): DeliveryResult {
  return { outcome: 'ACCEPTED', message: '', retryable: false, loggedBytes };
}

/** A failure of the callee, or of the way to it. */
export function failed(message: string, retryable: boolean): DeliveryResult {
  return { outcome: 'FAILED', reason: 'TARGET_ERROR', message, retryable };
}

/** The end of an attempt whose stored target breaks the rules: it is damaged, or older than a rule. */
export function failureFromUnusableTarget(error: unknown): DeliveryResult {
  const why = error instanceof DomainError ? error.message : 'it is damaged';
  return {
    outcome: 'FAILED',
    reason: 'INVALID_JOB',
    message: `target cannot be called: ${neutralText(why, maxQuotedLength)}`,
    retryable: false,
  };
}

/**
 * The end of an attempt without the secret that its target names; `what` it is,
 * in words. Without a key it may go well on another instance, or once it is set.
 */
export function failureFromMissingSecret(
  what: string,
  name: string,
  missing: 'secret' | 'key',
): DeliveryResult {
  const quoted = JSON.stringify(neutralText(name, maxQuotedLength));
  return missing === 'secret'
    ? {
        outcome: 'FAILED',
        reason: 'INVALID_JOB',
        message: `the ${what} ${quoted} does not exist; put it, or name another`,
        retryable: false,
      }
    : failed(`the ${what} ${quoted} cannot be decrypted here; CARILLON_SECRET_KEY has not its key`, true);
}

/** The failure that the callee reported in words, in an answer that is otherwise fine; it says whether another attempt may help. */
export function failureFromCallee(words: string, retryable = true, retryAfterMs?: number): DeliveryResult {
  return {
    ...failed(neutralText(words, maxQuotedLength) || 'the callee reported an error', retryable),
    ...(retryable && retryAfterMs !== undefined && { retryAfterMs: boundedRetryAfterMs(retryAfterMs) }),
  };
}

/** A callee's wish how long to wait, within what it can ask for; 0 when it is no number. */
export function boundedRetryAfterMs(ms: number): number {
  return Math.min(Math.max(Number.isNaN(ms) ? 0 : ms, 0), maxRetryAfterMs);
}

/** The failure that a status code means, with what the body said about it. */
export function failureFromStatus(
  status: number,
  headers: ResponseHeaders,
  text: string,
  now: Date,
): DeliveryResult {
  const retryable = retryableStatuses.has(status) || status >= 500;
  const quoted = neutralText(text, maxQuotedLength);
  const message = `HTTP ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd() + hint(status);
  const retryAfterMs = retryable ? retryAfterMsFrom(first(headers['retry-after']), now) : undefined;
  return {
    ...failed(quoted ? `${message}: ${quoted}` : message, retryable),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function hint(status: number): string {
  if (status < 300) return ' (not a success code of this target)';
  return status < 400 && status !== 304 ? ' (redirects are not followed)' : '';
}

/** Retry-After in milliseconds from now: whole seconds or an HTTP date; undefined when it is neither. */
export function retryAfterMsFrom(value: string | undefined, now: Date): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, maxRetryAfterMs);
  // Every form that says its zone; the one of asctime would be read in the server's.
  if (!/^[A-Z][a-z]+, .* GMT$/.test(text)) return undefined;
  const waitMs = Date.parse(text) - now.getTime();
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), maxRetryAfterMs);
}

type Fault = { readonly message: string; readonly retryable: boolean };

const again = (message: string): Fault => ({ message, retryable: true });
const never = (message: string): Fault => ({ message, retryable: false });
const certificate = (why: string): Fault => never(`certificate not accepted: ${why}`);

/**
 * What went wrong on the way, by the code of the error. Words are our own: an
 * error's text names addresses and paths that are nobody's business outside.
 */
const faults: ReadonlyMap<string, Fault> = new Map([
  ['ECONNREFUSED', again('connection refused')],
  ['ECONNRESET', again('connection reset by callee')],
  ['EPIPE', again('connection reset by callee')],
  ['ECONNABORTED', again('connection reset by callee')],
  ['UND_ERR_SOCKET', again('connection closed by callee before its response was complete')],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', again('response has not the length that its headers say')],
  ['ENOTFOUND', again('name not found')],
  ['EAI_AGAIN', again('name lookup failed')],
  ['ETIMEDOUT', again('connection timed out')],
  ['UND_ERR_CONNECT_TIMEOUT', again('connection timed out')],
  ['EHOSTUNREACH', again('callee not reachable')],
  ['ENETUNREACH', again('callee not reachable')],
  ['EHOSTDOWN', again('callee not reachable')],
  ['EADDRNOTAVAIL', again('no local address for the connection')],
  ['EMFILE', again('this instance has too many open connections')],
  ['ENFILE', again('this instance has too many open connections')],
  ['UND_ERR_DESTROYED', again('this instance is stopping')],
  ['UND_ERR_CLOSED', again('this instance is stopping')],
  // The callee has done its work by then and would answer the same again.
  ['UND_ERR_HEADERS_OVERFLOW', never('response headers are too large')],
  ['CERT_HAS_EXPIRED', certificate('it has expired')],
  ['CERT_NOT_YET_VALID', certificate('it is not yet valid')],
  ['CERT_REVOKED', certificate('it was revoked')],
  ['CERT_UNTRUSTED', certificate('it is not trusted')],
  ['CERT_REJECTED', certificate('it is not trusted')],
  ['CERT_SIGNATURE_FAILURE', certificate('its signature is wrong')],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', certificate('it is self-signed')],
  ['SELF_SIGNED_CERT_IN_CHAIN', certificate('its issuer is not trusted')],
  ['UNABLE_TO_GET_ISSUER_CERT', certificate('its issuer is not known')],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', certificate('its issuer is not known')],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', certificate('its issuer is not known')],
  ['ERR_TLS_CERT_ALTNAME_INVALID', certificate('it is for another name')],
  ['HOSTNAME_MISMATCH', certificate('it is for another name')],
]);

const notHttp = again('response is not valid HTTP');

// What X509_verify_cert can answer besides: https://nodejs.org/api/tls.html#x509-certificate-error-codes
const otherCertificateCode =
  /^(?:CERT_|CRL_|ERROR_IN_C|UNABLE_TO_(?:GET_CRL|DECRYPT|DECODE)|INVALID_(?:CA|PURPOSE))/;

// What a callee says of the certificate that it was shown, or was not: the alerts of RFC 8446, 6.2.
const clientCertificateAlert =
  /_ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED)$/;

/** The failure that an error of the connection means. Total: an error without a known code is a failure, too. */
export function failureFromError(error: unknown): DeliveryResult {
  if (error instanceof EgressRefusal) return failed(neutralText(error.message, maxQuotedLength), false);
  // The parser's errors have no code of their own.
  const isParserError = error instanceof errors.HTTPParserError;
  const { message, retryable } = isParserError ? notHttp : faultFrom(codeOf(error));
  return failed(message, retryable);
}

function faultFrom(code: string): Fault {
  const known = faults.get(code);
  if (known) return known;
  if (otherCertificateCode.test(code)) return certificate('it is not valid');
  if (code.endsWith('_ALERT_CERTIFICATE_REQUIRED')) return never('callee asks for a client certificate');
  if (clientCertificateAlert.test(code)) return never('client certificate not accepted by callee');
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO') {
    return again('TLS handshake failed');
  }
  return again('connection failed');
}

/** The code of an error; of several addresses that were tried, the first one's. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : '';
}
