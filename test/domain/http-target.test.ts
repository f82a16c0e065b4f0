import { describe, expect, it } from 'vitest';
import { validateHttpTarget } from '../../src/domain/http-target.ts';
import type { HttpTarget } from '../../src/domain/job.ts';

const target = (rest: Partial<HttpTarget>): HttpTarget => ({
  kind: 'http',
  url: 'https://example.com/hook',
  method: 'POST',
  headers: {},
  successCodes: [],
  ...rest,
});

const violations = (rest: Partial<HttpTarget>) => validateHttpTarget(target(rest), 'job.target.http');

describe('url', () => {
  it.each([
    'http://example.com',
    'HTTPS://Example.COM:8443/a%20b?x=1&y=%0A',
    'http://[::1]:8080/',
    'http://127.0.0.1:3000/hook#part',
    'https://bücher.example/straße',
    `http://example.com/${'a'.repeat(2_048 - 19)}`,
    `http://example.com/${'😀'.repeat(2_048 - 19)}`,
    'http://example.com/a@b?c=d@e',
  ])('accepts %j', (url) => {
    expect(violations({ url })).toEqual([]);
  });

  it.each([
    ['', 'must be an absolute URL that begins with http:// or https://'],
    ['/hook', 'must be an absolute URL that begins with http:// or https://'],
    ['example.com/hook', 'must be an absolute URL that begins with http:// or https://'],
    ['//example.com/hook', 'must be an absolute URL that begins with http:// or https://'],
    ['http:example.com', 'must be an absolute URL that begins with http:// or https://'],
    ['http:///example.com', 'must be an absolute URL that begins with http:// or https://'],
    ['http:\\\\example.com', 'must be an absolute URL that begins with http:// or https://'],
    ['ftp://example.com', 'must be an absolute URL that begins with http:// or https://'],
    ['file:///etc/passwd', 'must be an absolute URL that begins with http:// or https://'],
    ['gopher://example.com/_x', 'must be an absolute URL that begins with http:// or https://'],
    ['unix:/var/run/docker.sock', 'must be an absolute URL that begins with http:// or https://'],
    ['javascript:alert(1)', 'must be an absolute URL that begins with http:// or https://'],
    ['http://user:secret@example.com/', 'must not contain a user or password; use an Authorization header'],
    ['http://user@example.com/', 'must not contain a user or password; use an Authorization header'],
    ['http://@example.com/', 'must not contain a user or password; use an Authorization header'],
    ['http://example.com:80@10.0.0.1/', 'must not contain a user or password; use an Authorization header'],
    ['http://exa mple.com/', 'must not contain blanks or control characters; escape them as %20'],
    [' http://example.com/', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com/\n', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com/a\tb', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com/\r\nX: 1', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com/\0', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com/\u00a0', 'must not contain blanks or control characters; escape them as %20'],
    ['http://example.com:99999/', 'must be a valid URL such as https://host.example/path'],
    ['http://[::1/', 'must be a valid URL such as https://host.example/path'],
    ['http://[fe80::1%25eth0]/', 'must be a valid URL such as https://host.example/path'],
    [`http://example.com/${'a'.repeat(2_030)}`, 'must have at most 2048 characters'],
    [`http://example.com/${'a'.repeat(65_536)}`, 'must have at most 2048 characters'],
  ])('refuses %j', (url, description) => {
    expect(violations({ url })).toEqual([{ field: 'job.target.http.url', description }]);
  });
});

describe('headers', () => {
  it.each([
    ['Authorization', 'Bearer abc'],
    ['X-Empty', ''],
    ['x-tab', 'a\tb'],
    ['X-Ünicode-Value'.replace('Ü', 'U'), 'grüße 😀'],
    ["!#$%&'*+.^_`|~-", 'a token of signs'],
    ['x-carillon', 'not the prefix'],
    ['Tea', 'not TE'],
    ['__proto__', 'a name like any other'],
  ])('accepts %s: %j', (name, value) => {
    expect(violations({ headers: Object.fromEntries([[name, value]]) })).toEqual([]);
  });

  it.each([
    'Host',
    'content-length',
    'Transfer-Encoding',
    'CONNECTION',
    'keep-alive',
    'Proxy-Authorization',
    'proxy-connection',
    'TE',
    'Trailer',
    'Upgrade',
    'Expect',
    'Idempotency-Key',
    'carillon-attempt',
    'Carillon-Anything',
    'webhook-signature',
  ])('refuses %s, which belongs to the connection or to Carillon', (name) => {
    expect(violations({ headers: { [name]: 'x' } })).toEqual([
      {
        field: `job.target.http.headers["${name}"]`,
        description: 'is set by the connection or by Carillon; leave it out',
      },
    ]);
  });

  it.each(['', 'a b', 'a:b', 'X\r\nHost', 'X\0', 'größe', 'a(b)', 'Host ', 'a'.repeat(257)])(
    'refuses the name %j',
    (name) => {
      const [violation, ...others] = violations({ headers: { [name]: 'x' } });
      expect(others).toEqual([]);
      expect(violation?.field).toBe(`job.target.http.headers[${JSON.stringify(name)}]`);
      expect(violation?.description).toMatch(/^the name must /);
    },
  );

  it.each(['a\r\nHost: evil', 'a\nb', 'a\rb', 'a\0b', '\x1b[31m', '\x7f', 'a'.repeat(8_193)])(
    'refuses the value %j',
    (value) => {
      const [violation, ...others] = violations({ headers: { 'X-A': value } });
      expect(others).toEqual([]);
      expect(violation?.field).toBe('job.target.http.headers["X-A"]');
      expect(violation?.description).toMatch(/^the value must /);
    },
  );

  it('refuses names that differ only in case, each but the first', () => {
    expect(violations({ headers: { 'X-A': '1', 'x-a': '2', 'X-B': '3', 'X-a': '4' } })).toEqual([
      {
        field: 'job.target.http.headers["x-a"]',
        description: 'differs from "X-A" only in case; keep one of them',
      },
      {
        field: 'job.target.http.headers["X-a"]',
        description: 'differs from "X-A" only in case; keep one of them',
      },
    ]);
  });

  it('refuses more than 64', () => {
    const headers = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, '']));
    expect(violations({ headers: headers(64) })).toEqual([]);
    expect(violations({ headers: headers(65) })).toEqual([
      { field: 'job.target.http.headers', description: 'must have at most 64 entries' },
    ]);
  });
});

describe('secret headers', () => {
  it.each(['Authorization', 'X-Api-Key', 'cookie', '__proto__', 'User-Agent'])('accepts %s', (name) => {
    expect(violations({ secretHeaders: Object.fromEntries([[name, 'crm token']]) })).toEqual([]);
  });

  it.each([
    ['Host', 'is set by the connection or by Carillon; leave it out'],
    ['webhook-signature', 'is set by the connection or by Carillon; leave it out'],
    ['Proxy-Authorization', 'is set by the connection or by Carillon; leave it out'],
    ['X\r\nHost', "the name must be an HTTP token: letters, digits and !#$%&'*+-.^_`|~"],
    ['', "the name must be an HTTP token: letters, digits and !#$%&'*+-.^_`|~"],
    ['a'.repeat(257), 'the name must have at most 256 characters'],
    ['Content-Type', 'must not be a secret; put it into headers'],
    ['accept-encoding', 'must not be a secret; put it into headers'],
    ['X-PLAIN', 'is among the headers, too; keep one of them'],
  ])('refuses %j', (name, description) => {
    expect(violations({ headers: { 'x-plain': 'a' }, secretHeaders: { [name]: 'crm' } })).toEqual([
      { field: `job.target.http.secret_headers[${JSON.stringify(name)}]`, description },
    ]);
  });

  it('refuses names that differ only in case', () => {
    expect(violations({ secretHeaders: { 'X-A': 'a', 'x-a': 'b' } })).toEqual([
      {
        field: 'job.target.http.secret_headers["x-a"]',
        description: 'differs from "X-A" only in case; keep one of them',
      },
    ]);
  });

  it.each(['', 'a\nb', 'a'.repeat(201)])('refuses %j as the name of a secret', (name) => {
    expect(violations({ secretHeaders: { 'X-A': name } })).toEqual([
      {
        field: 'job.target.http.secret_headers["X-A"]',
        description: 'the name of the secret must have 1 to 200 characters, none of them a control',
      },
    ]);
  });

  it('refuses more than 16', () => {
    const some = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, 'crm']));
    expect(violations({ secretHeaders: some(16) })).toEqual([]);
    expect(violations({ secretHeaders: some(17) })).toEqual([
      { field: 'job.target.http.secret_headers', description: 'must have at most 16 entries' },
    ]);
  });
});

describe('the rest', () => {
  it.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('accepts a body with %s', (method) => {
    expect(violations({ method, body: '{}' })).toEqual([]);
  });

  it.each(['GET', 'HEAD'] as const)('refuses a body with %s', (method) => {
    expect(violations({ method })).toEqual([]);
    expect(violations({ method, body: '' })).toEqual([
      {
        field: 'job.target.http.body',
        description: `must be absent, because ${method} is sent without a body`,
      },
    ]);
  });

  it('refuses a body of more than 1 MiB in UTF-8', () => {
    expect(violations({ body: 'ä'.repeat(524_288) })).toEqual([]);
    expect(violations({ body: `a${'ä'.repeat(524_288)}` })).toEqual([
      { field: 'job.target.http.body', description: 'must have at most 1048576 bytes in UTF-8' },
    ]);
  });

  it('refuses another method', () => {
    expect(violations({ method: 'TRACE' as 'GET' })).toEqual([
      {
        field: 'job.target.http.method',
        description: 'must be one of GET, HEAD, POST, PUT, PATCH, DELETE',
      },
    ]);
  });

  it('accepts the success codes 200 to 599, each once', () => {
    expect(violations({ successCodes: [200, 404, 599] })).toEqual([]);
    expect(violations({ successCodes: [199, 200, 600, 204.5, 200] })).toEqual([
      { field: 'job.target.http.success_codes[0]', description: 'must be a status code from 200 to 599' },
      { field: 'job.target.http.success_codes[2]', description: 'must be a status code from 200 to 599' },
      { field: 'job.target.http.success_codes[3]', description: 'must be a status code from 200 to 599' },
      { field: 'job.target.http.success_codes[4]', description: 'must not repeat 200' },
    ]);
  });

  it.each([
    [1, true],
    [86_400_000, true],
    [0, false],
    [-1, false],
    [86_400_001, false],
    [Number.NaN, false],
  ])('judges a timeout of %d ms: %s', (timeoutMs, fine) => {
    const expected = {
      field: 'job.target.http.timeout',
      description: 'must be from 1 millisecond to 24 hours',
    };
    expect(violations({ timeoutMs })).toEqual(fine ? [] : [expected]);
  });

  it.each([
    [1_000, true],
    [86_400_000, true],
    [999, false],
    [86_400_001, false],
    [Number.NaN, false],
  ])('judges a heartbeat timeout of %d ms: %s', (heartbeatTimeoutMs, fine) => {
    const expected = {
      field: 'job.target.http.heartbeat_timeout',
      description: 'must be from 1 second to 24 hours',
    };
    expect(violations({ heartbeatTimeoutMs })).toEqual(fine ? [] : [expected]);
  });

  it('names every violation at once, in the order of the fields', () => {
    const all = violations({ url: 'x', method: 'GET', headers: { Host: 'x' }, body: 'x', successCodes: [1] });
    expect(all.map((violation) => violation.field)).toEqual([
      'job.target.http.url',
      'job.target.http.headers["Host"]',
      'job.target.http.body',
      'job.target.http.success_codes[0]',
    ]);
  });
});
