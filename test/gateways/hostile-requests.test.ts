import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Zone } from '../../src/domain/schedule/zone.ts';
import { type DialectName, dialects } from '../../src/gateways/gateways.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { type Servers, startServers } from '../conformance/servers.ts';
import { ask } from './json-fetch.ts';

/** Requests that no client of these APIs sends: each is answered as what it is, a fault of the caller's. */

const names = Object.keys(dialects) as DialectName[];
const zone = Zone.find('UTC')!;
const routes = names.flatMap((name) => dialects[name]({ clock: systemClock, zone }).routes);

const fields = (
  'jobId jobGroup status params executionIds taskNames jobName groupName recallConfig taskConfig replace jobParams ' +
  'Action JobId Namespace GroupId InstanceParameters CheckJobStatus DesignateType Worker Label Format ClientToken'
).split(' ');

/** The same odd value in every field that any of the APIs has. */
const everywhere = (value: unknown): string =>
  JSON.stringify(Object.fromEntries(fields.map((name) => [name, value])));

const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

const jsonBodies = [
  'null',
  'true',
  '1e999',
  '"text"',
  '[]',
  '[[]]',
  '{}',
  '{"__proto__": {"jobId": 1}, "constructor": null, "toString": 1}',
  '\u0000',
  '{"jobId": 1} {"jobId": 2}',
  deep(63),
  deep(5_000),
  ...[
    null,
    true,
    -1,
    0,
    1.5,
    1e300,
    '',
    ' ',
    'x',
    '\u0000',
    '\ud800',
    [],
    [null],
    [[1]],
    {},
    { a: { b: [] } },
  ].map(everywhere),
  everywhere('x'.repeat(70_000)),
  everywhere([{ name: 'a', value: 'b' }]),
  everywhere({ recallType: [], triggerType: {}, option: '{', timeConfig: '[', data: [] }),
  everywhere('{"recallType":"HTTP","option":"{}","triggerType":"SimpleTrigger","timeConfig":"1"}'),
];

const forms = [
  '&&&=&=',
  '%',
  'a=%ff',
  'a=%u0041',
  'a=1&a=2',
  ...['', 'x', '%00', '-1', '9223372036854775808', '[]', '{', '%F0%9F%94%94'].map((value) =>
    fields.map((name) => `${name}=${value}`).join('&'),
  ),
  Array.from({ length: 1_001 }, (_, i) => `p${i}=`).join('&'),
];

const parts = [
  'x',
  '%00',
  '%ff',
  '%',
  '%2F',
  '..%2f..',
  '%F0%9F%94%94',
  '%25',
  ';',
  ':',
  '*',
  'x'.repeat(12_000),
  '-1',
  'null',
];

describe('hostile requests', () => {
  let servers: Servers;
  beforeAll(async () => {
    servers = await startServers({ gateways: names });
  });
  afterAll(() => servers.stop());

  /** Whether an answer blames the caller, or served it; RuoYi's document wants 500 for a job that is not there. */
  const isCalm = async (
    method: string,
    path: string,
    init: RequestInit = {},
  ): Promise<string | undefined> => {
    const { status, headers } = await ask(`http://${servers.http.address}${path}`, { ...init, method });
    const reason = headers.get('carillon-reason') ?? '';
    return status < 500 || reason.endsWith('_NOT_FOUND')
      ? undefined
      : `${status} ${reason} ${method} ${path}`;
  };

  it.each(routes.map(({ method, path }) => [method, path]))('never break %s %s', async (method, path) => {
    const found: (string | undefined)[] = [];
    const withPart = (part: string): string => path.replace(/:\w+/g, part).replaceAll(' ', '%20');
    for (const part of path.includes(':') ? parts : ['']) found.push(await isCalm(method, withPart(part)));
    const query = path === '/' ? '?Action=ExecuteJob&' : '?';
    for (const form of forms) found.push(await isCalm(method, `${withPart('x')}${query}${form}`));
    const bodies = [
      ...jsonBodies.map((body) => ['application/json', body]),
      ...forms.map((body) => ['application/x-www-form-urlencoded', body]),
      ...['', 'application/json; charset=utf-16', 'x/y; charset="', 'text/plain'].map((type) => [
        type,
        everywhere(1),
      ]),
    ] as const;
    for (const [type, body] of method === 'GET' ? [] : bodies) {
      const init = { body: Buffer.from(body!), headers: { 'content-type': type! } };
      found.push(await isCalm(method, withPart('x'), init));
    }
    expect(found.filter((each) => each !== undefined)).toEqual([]);
    expect(servers.logged.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
