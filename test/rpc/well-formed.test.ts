import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  JobServiceAddRequestSchema,
  JobServiceUpdateRequestSchema,
} from '../../gen/carillon/v1/job_service_pb.js';
import { findMalformed, maxJsonBytes, maxJsonDepth } from '../../src/rpc/well-formed.ts';

type Json = { [key: string]: Json } | Json[] | string | number | null;

const find = (job: NonNullable<MessageInitShape<typeof JobServiceAddRequestSchema>['job']>) =>
  findMalformed(JobServiceAddRequestSchema, create(JobServiceAddRequestSchema, { job }))?.field;

const inObject = (object: { [key: string]: Json }) => find({ parameters: { object } });

/** An object with so many levels. */
function nested(levels: number): { [key: string]: Json } {
  let value: { [key: string]: Json } = {};
  for (let i = 1; i < levels; i++) value = i % 2 === 0 ? { a: value } : { a: [value] };
  return value;
}

describe('text', () => {
  it.each([
    ['a field', { description: 'a\0' }, 'job.description'],
    ['half a pair', { description: '\ud800' }, 'job.description'],
    ['a nested field', { key: { name: '\0' } }, 'job.key.name'],
    ['a map key', { labels: { 'a\0': 'x' } }, 'job.labels["a\\u0000"]'],
    ['a map value', { labels: { a: '\udfff' } }, 'job.labels["a"]'],
    [
      'an item of a list',
      { parameters: { list: [{ name: 'a' }, { name: '\0' }] } },
      'job.parameters.list[1].name',
    ],
    [
      'a member of a oneof in a list',
      { schedules: [{}, { kind: { case: 'cron', value: { expression: '\0' } } }] },
      'job.schedules[1].cron.expression',
    ],
    [
      'an output-only field',
      { lastExecution: { attempts: [{ message: '\0' }] } },
      'job.last_execution.attempts[0].message',
    ],
  ] as const)('with NUL or half a surrogate pair is refused in %s', (_, job, field) => {
    expect(find(job as Parameters<typeof find>[0])).toBe(field);
  });

  it('is refused in the paths of a mask', () => {
    const request = create(JobServiceUpdateRequestSchema, { updateMask: { paths: ['a', '\0'] } });
    expect(findMalformed(JobServiceUpdateRequestSchema, request)?.field).toBe('update_mask.paths[1]');
  });

  it('of any language and with pairs passes', () => {
    expect(find({ description: '夜 🌙 \u0001 \uffff' })).toBeUndefined();
  });
});

describe('instants and spans', () => {
  it.each([
    { seconds: 253_402_300_800n },
    { seconds: -62_135_596_801n },
    { seconds: 2n ** 63n - 1n },
    { nanos: -1 },
    { nanos: 1_000_000_000 },
  ])('refuses the instant %o', (startTime) => {
    expect(find({ schedules: [{ startTime }] })).toBe('job.schedules[0].start_time');
  });

  it.each([
    { seconds: 315_576_000_001n },
    { seconds: -(2n ** 63n) },
    { nanos: 1_000_000_000 },
    { seconds: 1n, nanos: -1 },
    { seconds: -1n, nanos: 1 },
  ])('refuses the span %o', (attemptTimeout) => {
    expect(find({ attemptTimeout })).toBe('job.attempt_timeout');
  });

  it('takes what the types define', () => {
    expect(find({ createTime: { seconds: 253_402_300_799n, nanos: 999_999_999 } })).toBeUndefined();
    expect(find({ attemptTimeout: { seconds: -1n, nanos: -1 } })).toBeUndefined();
  });
});

describe('JSON objects', () => {
  it(`may have ${maxJsonDepth} levels and not one more`, () => {
    expect(inObject(nested(16))).toBeUndefined();
    const deep = (levels: number): { [key: string]: Json } => (levels === 1 ? {} : { a: deep(levels - 1) });
    expect(inObject(deep(maxJsonDepth))).toBeUndefined();
    expect(inObject(deep(maxJsonDepth + 1))).toBe('job.parameters.object');
  });

  it('may weigh 1 MiB and not one byte more', () => {
    const frame = JSON.stringify({ a: '' }).length;
    expect(inObject({ a: 'x'.repeat(maxJsonBytes - frame) })).toBeUndefined();
    expect(inObject({ a: 'x'.repeat(maxJsonBytes - frame + 1) })).toBe('job.parameters.object');
    expect(inObject({ a: '夜'.repeat(maxJsonBytes / 3) })).toBe('job.parameters.object');
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('must not contain %d', (number) => {
    expect(inObject({ a: [1, { b: number }] })).toBe('job.parameters.object');
  });

  it('must not contain NUL in keys or values', () => {
    expect(inObject({ '\0': 1 })).toBe('job.parameters.object');
    expect(inObject({ a: ['\0'] })).toBe('job.parameters.object');
  });

  it('may have the keys that JavaScript uses itself', () => {
    expect(inObject(JSON.parse('{"__proto__":{"a":1},"constructor":{"prototype":null}}'))).toBeUndefined();
    expect(inObject(JSON.parse('{"__proto__":{"a":"\\u0000"}}'))).toBe('job.parameters.object');
  });
});
