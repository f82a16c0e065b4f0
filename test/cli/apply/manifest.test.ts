import { toJson } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import { readManifests } from '../../../src/cli/apply/manifests.ts';
import { problemToText } from '../../../src/cli/apply/placed-value.ts';

const read = (...texts: string[]) =>
  readManifests(texts.map((text, i) => ({ name: `${'abc'[i]}.yaml`, text })));

/** What is wrong in files, a line each. */
const problemsOf = (...texts: string[]) => read(...texts).problems.map(problemToText);

/** A manifest of one job with a target, and these lines of it. */
const jobWith = (...lines: string[]) =>
  ['jobs:', '  - name: n', '    target: {worker: {queue: q}}', ...lines.map((line) => `    ${line}`)].join(
    '\n',
  );

/** The only job of a manifest, as proto JSON without its target. */
function jobOf(text: string) {
  const { manifests, problems } = read(text);
  expect(problems).toEqual([]);
  const { target: _, ...job } = toJson(JobSchema, manifests[0]!.jobs[0]!.job, {
    useProtoFieldName: true,
  }) as { target?: unknown; key: object };
  return job;
}

const key = { namespace: 'default', group: 'default', name: 'n' };

describe('a job of a manifest', () => {
  it.each<[string, string, object]>([
    ['keys in snake_case', 'attempt_timeout: 90s', { attempt_timeout: '90s' }],
    ['keys in camelCase', 'attemptTimeout: 90s', { attempt_timeout: '90s' }],
    ['spans as the command line reads them', 'queue_timeout: 1h30m', { queue_timeout: '5400s' }],
    ['spans below a second', 'retry: {initial_backoff: 250ms}', { retry: { initial_backoff: '0.250s' } }],
    ['short names of enums', 'overlap: buffer-one', { overlap: 'OVERLAP_POLICY_BUFFER_ONE' }],
    [
      'long names of enums',
      'misfire: {policy: MISFIRE_POLICY_SKIP}',
      { misfire: { policy: 'MISFIRE_POLICY_SKIP' } },
    ],
    ['a key that says nothing', 'description:', {}],
    ['fields that the service fills in', 'state: JOB_STATE_PAUSED\n    id: "7"\n    etag: x', {}],
    [
      'a cron in short',
      'schedules: [{cron: 0 2 * * *, timeZone: Europe/Berlin}]',
      { schedules: [{ cron: { expression: '0 2 * * *', time_zone: 'Europe/Berlin' } }] },
    ],
    ['an interval in short', 'schedules: [{every: 15m}]', { schedules: [{ interval: { every: '900s' } }] }],
    [
      'an instant in short',
      'schedules: [{at: 2027-12-01T11:00:00+01:00}]',
      { schedules: [{ once: { at_time: '2027-12-01T10:00:00Z' } }] },
    ],
    [
      'an object of any JSON',
      'parameters: {object: {a: [1, {b: null}]}}',
      { parameters: { object: { a: [1, { b: null }] } } },
    ],
    ['merged maps', 'labels: {<<: {a: x, b: x}, b: y}', { labels: { a: 'x', b: 'y' } }],
  ])('takes %s', (_, line, expected) => {
    expect(jobOf(jobWith(line))).toEqual({ key, ...expected });
  });

  it('takes JSON, with tabs too', () => {
    expect(jobOf('{\n\t"jobs": [\n\t\t{"key": {"name": "n", "group": "g"}}\n\t]\n}')).toEqual({
      key: { ...key, group: 'g' },
    });
  });

  it('has namespace and group of the manifest where it names none, and the label of the owner', () => {
    const text =
      'owner: team/x\nnamespace: ns\ngroup: g\njobs: [{name: n}, {name: n, group: h}, {key: {name: n, namespace: m}}]';
    const { manifests } = read(text);
    expect(manifests[0]!.jobs.map(({ job: { key, labels } }) => [key.namespace, key.group, labels])).toEqual([
      ['ns', 'g', { 'carillon.io/owner': 'team/x' }],
      ['ns', 'h', { 'carillon.io/owner': 'team/x' }],
      ['m', 'g', { 'carillon.io/owner': 'team/x' }],
    ]);
  });

  it('takes whole fields of defaults where it does not name them itself, in either spelling', () => {
    const defaults = 'defaults: {attempt_timeout: 5s, retry: {max_attempts: 9}, labels: {a: x}}\n';
    expect(jobOf(defaults + jobWith('attemptTimeout: 7s', 'labels: {b: y}'))).toEqual({
      key,
      attempt_timeout: '7s',
      retry: { max_attempts: 9 },
      labels: { b: 'y' },
    });
  });

  it('may be given through anchors', () => {
    const text =
      'defaults: &d {priority: 3}\njobs:\n  - {name: a, <<: *d}\n  - {name: b, target: &t {worker: {queue: q}}}\n  - {name: c, target: *t}';
    const { manifests, problems } = read(text);
    expect(problems).toEqual([]);
    expect(manifests[0]!.jobs[2]!.job.target).toEqual(manifests[0]!.jobs[1]!.job.target);
  });
});

describe('what is wrong is told with its place:', () => {
  it.each<[string, string, string]>([
    [
      'an unknown key',
      jobWith('attempt_timeot: 5m'),
      'a.yaml:4:5: job "n": attempt_timeot: there is no such key; attempt_timeout is one',
    ],
    [
      'an unknown key inside',
      jobWith('retry:', '  max: 5'),
      'a.yaml:5:7: job "n": retry.max: there is no such key; there are max_attempts, initial_backoff, max_backoff, multiplier, jitter',
    ],
    ['a wrong kind', jobWith('schedules: {}'), 'a.yaml:4:16: job "n": schedules: is a list, not a map'],
    [
      'a number for a text',
      jobWith('labels: {a: 1}'),
      'a.yaml:4:17: job "n": labels.a: is a text (in quotes where it looks like something else), not the number 1',
    ],
    [
      'a text for a number',
      jobWith('priority: high'),
      'a.yaml:4:15: job "n": priority: is a whole number, not the text "high"',
    ],
    [
      'a fraction',
      jobWith('priority: 1.5'),
      'a.yaml:4:15: job "n": priority: is a whole number, not the number 1.5',
    ],
    [
      'an unknown word',
      jobWith('overlap: never'),
      'a.yaml:4:14: job "n": overlap: is one of SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL_OTHER, ALLOW, not the text "never"',
    ],
    [
      'a span',
      jobWith('attempt_timeout: soon'),
      'a.yaml:4:22: job "n": attempt_timeout: is a span such as 90s, 5m or 1h30m, not the text "soon"',
    ],
    [
      'a local time',
      jobWith('schedules: [{at: 2027-12-01T10:00:00}]'),
      'a.yaml:4:22: job "n": schedules[0].once.at_time: is an instant such as 2027-12-01T10:00:00Z or 2027-12-01T11:00:00+01:00, not the text "2027-12-01T10:00:00"',
    ],
    [
      'two of which one can be',
      jobWith('schedules: [{cron: "* * * * *", every: 5m}]'),
      'a.yaml:4:37: job "n": schedules[0].interval: only one of cron and interval can be there',
    ],
    [
      'two spellings of one key',
      jobWith('maxRunning: 1', 'max_running: 2'),
      'a.yaml:5:5: job "n": max_running: max_running is there already under its other spelling',
    ],
    [
      'a zone without a cron',
      jobWith('schedules: [{every: 5m, time_zone: UTC}]'),
      'a.yaml:4:29: job "n": time_zone stands beside a cron that is a text; it belongs into the map of cron otherwise',
    ],
    [
      'a key that is there twice',
      jobWith('priority: 1', 'priority: 2'),
      'a.yaml:5:5: this key is there already',
    ],
    ['no name', 'jobs: [{group: g}]', 'a.yaml:1:8: job "jobs[0]": name: is missing'],
    ['two names', 'jobs: [{name: n, key: {name: n}}]', 'a.yaml:1:9: job "n": name: stands in key, too'],
    [
      "the owner's label",
      jobWith('labels: {carillon.io/owner: me}'),
      'a.yaml:4:5: job "n": labels: carillon.io/owner is set by apply, from the owner of the manifest',
    ],
    [
      'an owner that is no label',
      'owner: "a b"\njobs: []',
      'a.yaml:1:8: owner: is 1 to 200 letters, digits and . _ - /, and begins with a letter or a digit',
    ],
    [
      'an unknown key of the manifest',
      'job: []\njobs: []',
      'a.yaml:1:1: job: a manifest has no such key; jobs is one',
    ],
    [
      'a manifest without jobs',
      'owner: x',
      'a.yaml:1:1: jobs: is missing; a manifest without jobs says jobs: []',
    ],
    [
      'a name among the defaults',
      'defaults: {name: n}\njobs: []',
      'a.yaml:1:12: defaults.name: belongs to a job, or to the top of the manifest',
    ],
    ['a file of comments', '# nothing\n', 'a.yaml:1:1: there is no manifest in it'],
    ['no map', '- a', 'a.yaml:1:1: a manifest is a map with jobs, not a list'],
    [
      'an asterisk out of quotes',
      'jobs:\n  - cron: *abc',
      'a.yaml:2:11: there is no anchor &abc before this',
    ],
    ['a tag', 'jobs: !include x', 'a.yaml:1:7: Unresolved tag: !include'],
    ['text that is open', 'jobs: ["x', 'a.yaml:1:10: Missing closing "quote'],
  ])('%s', (_, text, problem) => {
    expect(problemsOf(text)[0]).toBe(problem);
  });

  it('all of it at once', () => {
    expect(problemsOf(jobWith('priority: x', 'overlap: x'), 'nothing: 1')).toHaveLength(4);
  });

  it('what is wrong in the defaults once, and not for each job', () => {
    const text = 'defaults: {retry: {max: 1}, overlap: x}\njobs: [{name: a}, {name: b, priority: x}]';
    expect(problemsOf(text)).toEqual([
      'a.yaml:1:20: defaults.retry.max: there is no such key; there are max_attempts, initial_backoff, max_backoff, multiplier, jitter',
      'a.yaml:1:38: defaults.overlap: is one of SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL_OTHER, ALLOW, not the text "x"',
      'a.yaml:2:39: job "b": priority: is a whole number, not the text "x"',
    ]);
  });

  it('a cron that begins with an asterisk gets the hint to quote it', () => {
    expect(problemsOf('jobs: [{name: n, schedules: [{cron: * * * * *}]}]')[0]).toContain('put in quotes');
  });

  it.each([
    'jobs: [{name: n}, {name: n}]',
    'jobs: [{name: n}]\n---\njobs: [{key: {group: default, name: n}}]',
  ])('a job that is there twice: %j', (text) => {
    expect(problemsOf(text)[0]).toMatch(/^a.yaml:\d+:\d+: job "n" is at a.yaml:1:8 already$/);
  });

  it('a job that is in two files', () => {
    expect(problemsOf('jobs: [{name: n}]', 'jobs: [{name: n}]')).toEqual([
      'b.yaml:1:8: job "n" is at a.yaml:1:8 already',
    ]);
  });

  it('keys that differ only by case are two jobs, and remarked on', () => {
    const { problems, remarks } = read('jobs: [{name: Report}, {name: report}]');
    expect(problems).toEqual([]);
    expect(remarks.map(problemToText)).toEqual([
      'a.yaml:1:24: job "report" differs from the one at a.yaml:1:8 only by case: they are two jobs',
    ]);
  });

  it('slashes in names and groups make no two jobs one', () => {
    expect(problemsOf('jobs: [{name: a/b, group: c}, {name: b, group: c/a}, {name: c/a/b}]')).toEqual([]);
  });
});

describe('aliases', () => {
  it('that stand for billions of values are refused', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 12; i++)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(', ')}]`,
      );
    expect(problemsOf(lines.join('\n'))[0]).toMatch(/the file stands for more than 1,000,000 values$/);
  });

  it('that stand for themselves are refused', () => {
    expect(problemsOf('jobs: &a [*a]')[0]).toMatch(
      /^a.yaml:1:\d+: (nested deeper than 64 levels|there is no anchor)/,
    );
  });

  it('of one anchor may be many', () => {
    const jobs = Array.from({ length: 1_000 }, (_, i) => `  - {name: j${i}, retry: *r}`);
    expect(problemsOf(['defaults: {retry: &r {max_attempts: 2}}', 'jobs:', ...jobs].join('\n'))).toEqual([]);
  });
});
