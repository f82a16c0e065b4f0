import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/errors.ts';
import { validateHttpTarget } from '../../src/domain/http-target.ts';
import { fillHttpTemplate, httpTemplateOf } from '../../src/domain/http-template.ts';
import type { HttpTarget, Json, Parameters } from '../../src/domain/job.ts';
import type { TemplateValues } from '../../src/domain/template.ts';

const target = (rest: Partial<HttpTarget>): HttpTarget => ({
  kind: 'http',
  url: 'https://example.com/hook',
  method: 'POST',
  headers: {},
  successCodes: [],
  template: true,
  ...rest,
});

const values = (parameters: Parameters = {}): TemplateValues => ({
  executionId: 12,
  attempt: 2,
  attemptToken: 'cat_sample',
  jobId: 7,
  jobKey: { namespace: 'default', group: 'nightly', name: 'Überblick & "mehr"' },
  fireAt: new Date('2026-03-29T01:30:00.250Z'),
  cause: 'SCHEDULE',
  term: 4,
  parameters,
});

const violations = (rest: Partial<HttpTarget>) => validateHttpTarget(target(rest), 'target');

/** A target filled in; it must be a good one. */
function filled(rest: Partial<HttpTarget>, parameters?: Parameters) {
  expect(violations(rest)).toEqual([]);
  return fillHttpTemplate(target(rest), values(parameters));
}

/** Why a target cannot be filled in. */
function refusal(rest: Partial<HttpTarget>, parameters: Parameters): string {
  try {
    filled(rest, parameters);
  } catch (error) {
    if (error instanceof DomainError) return error.message;
    throw error;
  }
  return expect.unreachable();
}

const evil = '"},"admin":true,\\"\r\n\u0000</x>&\ud800';

describe('a body', () => {
  it.each<[string, string, Parameters]>([
    ['{"id":{{ execution_id }}}', '{"id":12}', {}],
    ['{"id":"{{ execution_id }}"}', '{"id":"12"}', {}],
    ['{"n":{{ job.name }}}', '{"n":"Überblick & \\"mehr\\""}', {}],
    ['{"n":"<{{ job.name }}>"}', '{"n":"<Überblick & \\"mehr\\">"}', {}],
    ['{"n":"{{ job.name | url }}"}', '{"n":"%C3%9Cberblick%20%26%20%22mehr%22"}', {}],
    ['{"n":"{{ job.name | json }}"}', '{"n":"\\"Überblick & \\\\\\"mehr\\\\\\"\\""}', {}],
    ['{"n":{{ job.name | json }}}', '{"n":"Überblick & \\"mehr\\""}', {}],
    ['{"\\"{{ attempt }}":[{{ parameters.object }}]}', '{"\\"2":[{"a":[1]}]}', { object: { a: [1] } }],
    ['{"o":"{{ parameters.object }}"}', '{"o":"{\\"a\\":1}"}', { object: { a: 1 } }],
    ['{"t":{{ parameters.text }},"u":"{{ parameters.text }}"}', '{"t":null,"u":""}', {}],
    [
      '{{ parameters }}',
      '{"text":"x","list":[{"name":"a","value":"b"}]}',
      { text: 'x', list: [{ name: 'a', value: 'b' }] },
    ],
    ['{"a":"{{{{ b }}"} ', '{"a":"{{ b }}"} ', {}],
  ])('of JSON %j becomes %j', (body, text, parameters) => {
    expect(filled({ body }, parameters).body).toBe(text);
  });

  it.each<[string, string, string]>([
    ['text/plain; charset=utf-8', 'Run {{ attempt }} of {{ job.name }}', 'Run 2 of Überblick & "mehr"'],
    ['TEXT/HTML', '<b>{{ job.name }}</b>', '<b>Überblick &amp; &quot;mehr&quot;</b>'],
    ['application/soap+xml', "<a b='{{ parameters.text }}'/>", "<a b='&lt;x&gt;&#39;'/>"],
    ['application/x-www-form-urlencoded', 'n={{ job.name }}', 'n=%C3%9Cberblick%20%26%20%22mehr%22'],
    ['application/x-www-form-urlencoded', 'n={{ job.name | url }}', 'n=%C3%9Cberblick%20%26%20%22mehr%22'],
    ['text/plain', '{{ job.name | json }} {{ parameters.list.a }}|', '"Überblick & \\"mehr\\"" |'],
    ['application/vnd.x+json', '["{{ job.name }}"]', '["Überblick & \\"mehr\\""]'],
  ])('of %s is escaped for it: %j', (contentType, body, text) => {
    expect(filled({ body, headers: { 'content-TYPE': contentType } }, { text: "<x>'" }).body).toBe(text);
  });

  it.each([
    '{"a":{{ attempt }}{{ term }}}',
    '{"a":-{{ attempt }}}',
    '{"a":"\\{{ job.name }}"}',
    '{"a":"\\u00{{ attempt }}"}',
    '{"a":{{ attempt }}',
    'Run {{ attempt }}',
    "{'a':'{{ job.name }}'}",
  ])('that is no JSON whatever the values are is refused: %s', (body) => {
    expect(violations({ body })).toEqual([
      {
        field: 'target.body',
        description: expect.stringMatching(/^must be JSON .* set a Content-Type header$/),
      },
    ]);
    expect(violations({ body, headers: { 'Content-Type': 'text/plain' } })).toEqual([]);
  });

  it('stays the JSON that it was, with the values in their places, whatever they are', () => {
    // Every place that a value can have, with text, braces and quotes of the definition around it.
    const json = fc.jsonValue({ depthSize: 'small' }) as fc.Arbitrary<Json>;
    const text = fc.string({ unit: 'binary' });
    const plain = fc.string({ unit: 'grapheme' }).map((each) => each.replaceAll('{', '}'));
    fc.assert(
      fc.property(text, json, plain, (given, value, around) => {
        const literal = JSON.stringify(around).slice(1, -1);
        const body = `{"${literal}": ["${literal}{{ parameters.text }}${literal}", {{ parameters.text }}], "{{ parameters.text }}": {{ parameters.object.v }}}`;
        const rest = { body };
        const result = JSON.parse(filled(rest, { text: given, object: { v: value } }).body!);
        // Two members of one name would be one.
        fc.pre(given !== around);
        expect(Object.entries(result)).toContainEqual([around, [around + given + around, given]]);
        expect(Object.entries(result)).toContainEqual([given, JSON.parse(JSON.stringify(value ?? null))]);
      }),
      { numRuns: 300 },
    );
  });

  it('does not grow beyond 1 MiB', () => {
    const body = `[${Array(20).fill('{{ parameters.text }}').join(',')}]`;
    expect(filled({ body }, { text: 'a'.repeat(1_000) }).body?.length).toBeGreaterThan(20_000);
    expect(refusal({ body }, { text: 'a'.repeat(60_000) })).toMatch(/^target\.body: has more than 1048576 /);
    expect(refusal({ body }, { text: '€'.repeat(20_000) })).toMatch(
      /^target\.body: has more than 1048576 bytes/,
    );
  });

  it('is taken apart once for a definition', () => {
    const definition = target({ body: '[{{ attempt }}]' });
    expect(httpTemplateOf(definition)).toBe(httpTemplateOf(definition));
  });

  it('is sent as it is where the target is no template', () => {
    expect(violations({ template: undefined, body: '{{ x', headers: { 'X-A': '{{' } })).toEqual([]);
  });
});

describe('a header', () => {
  it('has the value in its place, as it is', () => {
    const headers = { 'X-Job': 'a {{ job.name }}/{{ attempt }}', __proto__x: '{{ cause }}' };
    expect(filled({ headers }).headers).toEqual({
      'X-Job': 'a Überblick & "mehr"/2',
      __proto__x: 'SCHEDULE',
    });
  });

  it.each(['a\nX-Admin: 1', 'a\r\n\r\nGET /', '\0', '\x7f'])('is not sent with the value %j', (text) => {
    expect(refusal({ headers: { 'X-A': 'b{{ parameters.text }}' } }, { text })).toBe(
      'target.headers["X-A"]: a parameter makes it more than one line without control characters',
    );
  });

  it('can have such a value escaped', () => {
    const headers = { 'X-A': '{{ parameters.text | json }} {{ parameters.text | url }}' };
    expect(filled({ headers }, { text: 'a\nb' }).headers).toEqual({ 'X-A': '"a\\nb" a%0Ab' });
  });

  it('does not grow beyond 8,192 characters', () => {
    const headers = { 'X-A': '{{ parameters.text }}' };
    expect(refusal({ headers }, { text: 'a'.repeat(8_193) })).toContain('has more than 8192 characters');
  });

  it('of the content type is fixed', () => {
    const headers = { 'content-type': '{{ parameters.text }}' };
    expect(violations({ headers })).toEqual([
      {
        field: 'target.headers["content-type"]',
        description: expect.stringContaining('must not have placeholders'),
      },
    ]);
  });
});

describe('a url', () => {
  it('has values percent-encoded in path and query', () => {
    const url =
      'https://example.com/{{ job.group }}/{{parameters.text}}?n={{ job.name }}&o={{ parameters.object }}';
    expect(filled({ url }, { text: 'a/b?c#d', object: { a: '&' } }).url).toBe(
      'https://example.com/nightly/a%2Fb%3Fc%23d?n=%C3%9Cberblick%20%26%20%22mehr%22&o=%7B%22a%22%3A%22%26%22%7D',
    );
  });

  it.each([
    '{{ parameters.text }}',
    '{{ parameters.text }}://example.com/',
    'https://{{ parameters.text }}/',
    'https://{{ parameters.text }}.example.com/',
    'https://example.com{{ parameters.text }}',
    'https://example.com:{{ attempt }}/',
    'https://example.com:8{{ attempt }}/',
    'https://example.com\\{{ parameters.text }}',
  ])('has no placeholder in scheme, host or port: %s', (url) => {
    expect(violations({ url })).toContainEqual({
      field: 'target.url',
      description: 'may have placeholders in its path and query only',
    });
  });

  it('keeps its scheme, host, port and the shape of its path, whatever the values are', () => {
    const url = 'https://example.com:8443/a/{{ parameters.text }}/b?q={{ parameters.text }}';
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        fc.pre(!['.', '..'].includes(text));
        const result = new URL(filled({ url }, { text }).url);
        expect(result.origin).toBe('https://example.com:8443');
        expect(result.pathname.split('/')).toEqual(['', 'a', encodeURIComponent(text.toWellFormed()), 'b']);
        expect([...result.searchParams]).toEqual([['q', text.toWellFormed()]]);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['/a/{{ parameters.text }}/b', '..'],
    ['/a/{{ parameters.text }}', '.'],
    ['/a/.{{ parameters.text }}/b', '.'],
    ['/a/.{{ parameters.text }}/b', ''],
    ['/a/%2e{{ parameters.text }}?x', '.'],
    ['/../{{ parameters.text }}/b', '..'],
  ])('%s is not called with %j, which is a step within the path', (path, text) => {
    expect(refusal({ url: `https://example.com${path}` }, { text })).toBe(
      'target.url: a parameter adds a . or .. segment to its path',
    );
  });

  it('does not grow beyond 8,192 characters', () => {
    const url = 'https://example.com/?{{ parameters.text }}';
    expect(refusal({ url }, { text: 'a'.repeat(8_200) })).toContain('has more than 8192 characters');
  });
});

it('refuses what is no placeholder, and says in which field and where', () => {
  const rest = { url: 'https://a/{{x}}', headers: { 'X-A': 'a{{ y }}' }, body: '{"a":{{ z }}}' };
  expect(violations(rest).map(({ field, description }) => [field, description.slice(0, 45)])).toEqual([
    ['target.url', 'the placeholder at character 11 is not known;'],
    ['target.headers["X-A"]', 'the placeholder at character 2 is not known; '],
    ['target.body', 'the placeholder at character 6 is not known; '],
  ]);
});

it('lets no value out of its place', () => {
  const rest = {
    url: 'https://example.com/{{ parameters.text }}',
    body: '{"a":"{{ parameters.text }}","b":{{ parameters.text }}}',
  };
  const { url, body } = filled(rest, { text: evil });
  expect(JSON.parse(body!)).toEqual({ a: evil, b: evil });
  expect(new URL(url).pathname.split('/')).toHaveLength(2);
});
