import { errors } from 'undici';
import { describe, expect, it } from 'vitest';
import {
  failureFromError,
  failureFromStatus,
  retryAfterMsFrom,
} from '../../../../src/engine/targets/http/failure.ts';

const now = new Date('2026-03-29T01:30:00.000Z');

describe('Retry-After', () => {
  it.each([
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5_000],
    ['86400', 86_400_000],
    ['86401', 86_400_000],
    ['99999999999999999999999', 86_400_000],
    ['Sun, 29 Mar 2026 01:30:10 GMT', 10_000],
    ['Sunday, 29-Mar-26 01:30:10 GMT', 10_000],
    ['Sun, 29 Mar 2026 01:00:00 GMT', 0],
    ['Fri, 31 Dec 2100 23:59:59 GMT', 86_400_000],
    ['Sun Mar 29 01:30:10 2026', undefined],
    ['2026-03-29T01:30:10Z', undefined],
    ['1.5', undefined],
    ['-1', undefined],
    ['soon', undefined],
    ['Someday, maybe GMT', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %s ms', (value, expected) => {
    expect(retryAfterMsFrom(value, now)).toBe(expected);
  });
});

describe('an alert of the callee about the certificate that it was shown', () => {
  it.each([
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'callee asks for a client certificate', false],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'client certificate not accepted by callee', false],
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'client certificate not accepted by callee', false],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'client certificate not accepted by callee', false],
    ['ERR_SSL_TLSV1_ALERT_ACCESS_DENIED', 'client certificate not accepted by callee', false],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', 'TLS handshake failed', true],
    ['ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'TLS handshake failed', true],
  ])('%s reads %s; retryable: %s', (code, message, retryable) => {
    const error = Object.assign(new Error(code), { code });
    expect(failureFromError(error)).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message,
      retryable,
    });
  });
});

describe('a status', () => {
  it.each([
    [200, false, 'HTTP 200 OK (not a success code of this target)'],
    [302, false, 'HTTP 302 Found (redirects are not followed)'],
    [304, false, 'HTTP 304 Not Modified'],
    [400, false, 'HTTP 400 Bad Request'],
    [401, false, 'HTTP 401 Unauthorized'],
    [404, false, 'HTTP 404 Not Found'],
    [408, true, 'HTTP 408 Request Timeout'],
    [410, false, 'HTTP 410 Gone'],
    [425, true, 'HTTP 425 Too Early'],
    [429, true, 'HTTP 429 Too Many Requests'],
    [500, true, 'HTTP 500 Internal Server Error'],
    [503, true, 'HTTP 503 Service Unavailable'],
    [599, true, 'HTTP 599'],
    [999, true, 'HTTP 999'],
  ])('%d is retryable: %s', (status, retryable, message) => {
    expect(failureFromStatus(status, {}, '', now)).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message,
      retryable,
    });
  });

  it('quotes 500 characters of what the body says, neutralised', () => {
    const { message } = failureFromStatus(404, {}, `no\u001b[31m such\r\nthing ${'x'.repeat(600)}`, now);
    expect(message).toBe(`HTTP 404 Not Found: no [31m such thing ${'x'.repeat(500 - 19)}…`);
  });

  it('passes on Retry-After where another attempt may help, the first of several', () => {
    expect(failureFromStatus(429, { 'retry-after': ['7', '9'] }, '', now).retryAfterMs).toBe(7_000);
    expect(failureFromStatus(404, { 'retry-after': '7' }, '', now)).not.toHaveProperty('retryAfterMs');
  });
});

describe('an error', () => {
  const withCode = (code: string): Error => Object.assign(new Error('connect 10.0.0.1:80 secret'), { code });

  it.each([
    ['ECONNREFUSED', true, 'connection refused'],
    ['ECONNRESET', true, 'connection reset by callee'],
    ['ENOTFOUND', true, 'name not found'],
    ['EAI_AGAIN', true, 'name lookup failed'],
    ['UND_ERR_CONNECT_TIMEOUT', true, 'connection timed out'],
    ['EHOSTUNREACH', true, 'callee not reachable'],
    ['EMFILE', true, 'this instance has too many open connections'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', true, 'TLS handshake failed'],
    ['EPROTO', true, 'TLS handshake failed'],
    ['UND_ERR_HEADERS_OVERFLOW', false, 'response headers are too large'],
    ['CERT_HAS_EXPIRED', false, 'certificate not accepted: it has expired'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', false, 'certificate not accepted: it is for another name'],
    ['CERT_CHAIN_TOO_LONG', false, 'certificate not accepted: it is not valid'],
    ['UNABLE_TO_GET_CRL', false, 'certificate not accepted: it is not valid'],
    ['ESOMETHING', true, 'connection failed'],
  ])('%s is retryable: %s', (code, retryable, message) => {
    expect(failureFromError(withCode(code))).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message,
      retryable,
    });
  });

  it('of several addresses is the first address’s', () => {
    const error = new AggregateError([withCode('ECONNREFUSED'), withCode('EHOSTUNREACH')]);
    expect(failureFromError(error).message).toBe('connection refused');
  });

  it('of the parser is retryable', () => {
    const { message, retryable } = failureFromError(new errors.HTTPParserError('Expected HTTP/'));
    expect({ message, retryable }).toEqual({ message: 'response is not valid HTTP', retryable: true });
  });

  it.each([new Error('no code'), 'text', undefined])('without a code is a failure: %j', (error) => {
    expect(failureFromError(error).message).toBe('connection failed');
  });
});
