import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { type Job, JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import { carryOut, type Outcome } from '../../../src/cli/apply/carry-out.ts';
import { changeToText, openValues } from '../../../src/cli/apply/change-text.ts';
import { definitionFields, outputOnlyFields } from '../../../src/cli/apply/definition-fields.ts';
import { callsInFlight } from '../../../src/cli/apply/in-flight.ts';
import { jobChanges } from '../../../src/cli/apply/job-changes.ts';
import { readManifests } from '../../../src/cli/apply/manifests.ts';
import { ownerLabel } from '../../../src/cli/apply/owner.ts';
import { findLeftovers, keyOf, ownerRefusal, pruneRefusal, type Step } from '../../../src/cli/apply/plan.ts';

type Init = MessageInitShape<typeof JobSchema>;

const cron = (name: string, expression: string) =>
  ({ name, kind: { case: 'cron', value: { expression, timeZone: 'UTC' } } }) as const;

const http = (value: object) => ({ kind: { case: 'http', value } }) as const;

/** What tells two jobs apart, a line each. */
const changesOf = (before: Init, after: Init): string[] =>
  jobChanges(create(JobSchema, before), create(JobSchema, after)).map(
    (change) => `${change.path}: ${changeToText(change)}`,
  );

describe('the changes between two jobs', () => {
  it.each<[string, Init, Init, string[]]>([
    ['nothing', { description: 'a' }, { description: 'a' }, []],
    ['what the service fills in', { id: 1n, etag: 'a', generation: 2n }, { id: 2n, etag: 'b', state: 1 }, []],
    ['a text', { description: 'a' }, { description: 'b' }, ['description: a → b']],
    ['a text that goes', { description: 'a' }, {}, ['description: a → (none)']],
    ['an enum', { overlap: 1 }, { overlap: 5 }, ['overlap: SKIP → ALLOW']],
    [
      'spans',
      { attemptTimeout: { seconds: 300n } },
      { attemptTimeout: { seconds: 5400n } },
      ['attempt_timeout: 5m → 1h30m'],
    ],
    [
      'labels',
      { labels: { a: 'x', b: 'y' } },
      { labels: { b: 'z', 'c d': 'w' } },
      ['labels.a: x → (none)', 'labels.b: y → z', 'labels["c d"]: (none) → w'],
    ],
    ['an owner', {}, { labels: { [ownerLabel]: 'team/x' } }, ['owner: (none) → team/x']],
    [
      'a schedule by its name',
      { schedules: [cron('a', '1 * * * *'), cron('b', '2 * * * *')] },
      { schedules: [cron('new', '0 * * * *'), cron('a', '1 * * * *'), cron('b', '3 * * * *')] },
      ['schedules[b].cron.expression: 2 * * * * → 3 * * * *', 'schedules[new]: (none) → 0 * * * * UTC'],
    ],
    [
      'the order of schedules',
      { schedules: [cron('a', '1 * * * *'), cron('b', '2 * * * *')] },
      { schedules: [cron('b', '2 * * * *'), cron('a', '1 * * * *')] },
      ['schedules (order): a, b → b, a'],
    ],
    [
      'another kind of target',
      { target: http({ url: 'http://a/' }) },
      { target: { kind: { case: 'worker', value: { queue: 'q' } } } },
      ['target.http.url: http://a/ → (none)', 'target.worker.queue: (none) → q'],
    ],
    [
      'an object',
      { parameters: { object: { a: { b: 1 }, c: [1] } } },
      { parameters: { object: { a: { b: 2 }, c: [1, 2] } } },
      ['parameters.object.a.b: 1 → 2', 'parameters.object.c: [1] → [1,2]'],
    ],
    [
      'an empty object',
      { parameters: { object: {} } },
      { parameters: { text: '' } },
      ['parameters.object: {} → (none)', 'parameters.text: (none) → ""'],
    ],
  ])('tell %s', (_, before, after, expected) => {
    expect(changesOf(before, after)).toEqual(expected);
  });

  it.each<[string, Init, Init, string]>([
    [
      'a header',
      { target: http({ headers: { authorization: 'abc' } }) },
      { target: http({ headers: { authorization: 'xyz' } }) },
      '(hidden) → (hidden, another)',
    ],
    [
      'a parameter',
      { parameters: { list: [{ name: 'db_password', value: 'abc' }] } },
      { parameters: { list: [{ name: 'db_password', value: 'xyz' }] } },
      '(hidden) → (hidden, another)',
    ],
    [
      'what lies within',
      { parameters: { object: { credentials: { user: 'abc' } } } },
      { parameters: { object: { credentials: { user: 'xyz' } } } },
      '(hidden) → (hidden, another)',
    ],
    [
      'a query',
      { target: http({ url: 'http://a/?token=abc&b=c' }) },
      { target: http({ url: 'http://a/?token=xyz&b=c' }) },
      'http://a/?token=(hidden)&b=c → http://a/?token=(hidden)&b=c (another)',
    ],
  ])('hide what is secret: %s', (_, before, after, expected) => {
    const changes = jobChanges(create(JobSchema, before), create(JobSchema, after));
    expect(changes.map(changeToText)).toEqual([expected]);
    expect(JSON.stringify(changes.map(openValues))).not.toMatch(/abc|xyz/);
  });

  it('shows long values where they begin to differ', () => {
    const body = 'x'.repeat(5_000);
    const [line] = changesOf({ description: `${body}a${body}` }, { description: `${body}b${body}` });
    expect(line).toMatch(
      /^description: …x{36}ax{35}… \(10001 characters\) → …x{36}bx{35}… \(10001 characters\)$/,
    );
  });

  it('knows every field of a job: as its definition, as its key, or as filled in by the service', () => {
    const known = [...definitionFields, ...outputOnlyFields, 'key', 'start_paused'];
    expect(known.toSorted()).toEqual(JobSchema.fields.map(({ name }) => name).toSorted());
  });
});

/** A job that is there. */
const stored = (name: string, namespace: string, owner: string): Job =>
  create(JobSchema, {
    id: 1n,
    key: { namespace, group: 'default', name },
    labels: owner === '' ? {} : { [ownerLabel]: owner },
  });

const manifestsOf = (...texts: string[]) =>
  readManifests(texts.map((text) => ({ name: 'a.yaml', text }))).manifests;

describe('owners', () => {
  it.each([
    ['x', 'x', false, undefined],
    ['', '', false, undefined],
    ['x', 'y', false, 'is there already and belongs to y; --adopt takes it over'],
    ['x', '', false, 'is there already and has no owner; --adopt takes it over'],
    ['', 'y', false, 'is there already and belongs to y; --adopt takes it over'],
    ['x', 'y', true, undefined],
  ])('%j may change a job of %j (adopting: %j): %s', (owner, present, adopts, expected) => {
    const text = `${owner === '' ? '' : `owner: ${owner}\n`}jobs: [{name: n}]`;
    const [wanted] = manifestsOf(text)[0]!.jobs;
    expect(ownerRefusal(wanted!, stored('n', 'default', present), adopts)).toBe(expected);
  });

  it('prune what they had in the namespaces that their manifests name', () => {
    const manifests = manifestsOf(
      'owner: x\nnamespace: a\njobs: [{name: kept}, {name: other, namespace: b}]\n---\nowner: y\nnamespace: c\njobs: []',
    );
    const owned = [
      ...['a', 'b', 'c'].map((namespace) => stored('gone', namespace, 'x')),
      stored('kept', 'a', 'x'),
      stored('gone', 'c', 'y'),
    ];
    const { within, elsewhere } = findLeftovers(manifests, owned);
    const shown = (jobs: readonly Job[]) =>
      jobs.map((job) => `${job.labels[ownerLabel]} ${job.key?.namespace}/${job.key?.name}`);
    expect(shown(within)).toEqual(['x a/gone', 'x b/gone', 'y c/gone']);
    expect(shown(elsewhere)).toEqual(['x c/gone']);
  });

  it.each([
    ['owner: x\njobs: [{name: n}]', false, undefined],
    ['jobs: [{name: n}]', false, /needs an owner in every manifest; the one at a.yaml:1 has none/],
    ['owner: x\njobs: []', false, /the manifests of x have no jobs.*--allow-empty/],
    ['owner: x\njobs: []', true, undefined],
    ['owner: x\njobs: []\n---\nowner: x\njobs: [{name: n}]', false, undefined],
  ])('%j can be pruned by (empty allowed: %j): %s', (text, allowsEmpty, expected) => {
    const refusal = pruneRefusal(manifestsOf(text), allowsEmpty);
    if (expected) expect(refusal).toMatch(expected);
    else expect(refusal).toBeUndefined();
  });
});

describe('carrying out a plan', () => {
  const steps: readonly Step[] = [
    ...manifestsOf(
      `jobs: [${Array.from({ length: 100 }, (_, i) => `{name: n${i}}`).join(', ')}]`,
    )[0]!.jobs.map((wanted): Step => ({ action: 'create', wanted, fireTimes: [], warnings: [] })),
    { action: 'prune', present: stored('gone', 'default', 'x') },
  ];

  /** Carries out with a service that answers as told; returns how often each outcome came, and what was called. */
  async function run(answer: (name: string) => Promise<unknown>, stopping = new AbortController()) {
    const outcomes = new Map<Step, Outcome>();
    const calls: string[] = [];
    let [inFlight, most] = [0, 0];
    const called = async (name: string) => {
      calls.push(name);
      most = Math.max(most, ++inFlight);
      try {
        return await answer(name);
      } finally {
        inFlight--;
      }
    };
    const jobs = {
      add: ({ job }: { job: Job }) => called(job.key!.name),
      delete: () => called('delete'),
    };
    await carryOut({ jobs: jobs as never, signal: stopping.signal }, steps, async (step, outcome) => {
      expect(outcomes.has(step), `${keyOf(step)?.name} is told once`).toBe(false);
      outcomes.set(step, outcome);
    });
    const counts: Record<string, number> = {};
    for (const { kind } of outcomes.values()) counts[kind] = (counts[kind] ?? 0) + 1;
    return { counts, calls, most, outcomes };
  }

  const later = () => new Promise((resolve) => setImmediate(resolve));

  it('has a constant number of calls under way, and prunes at last', async () => {
    const { counts, calls, most } = await run(later);
    expect(counts).toEqual({ done: 101 });
    expect(most).toBe(callsInFlight);
    expect(calls.at(-1)).toBe('delete');
  });

  it('goes on behind a job that fails, but prunes nothing then', async () => {
    const refused = new ConnectError('no', Code.InvalidArgument);
    const { counts, calls } = await run((name) => (name === 'n3' ? Promise.reject(refused) : later()));
    expect(counts).toEqual({ done: 99, failed: 1, left: 1 });
    expect(calls).not.toContain('delete');
  });

  it('begins nothing more when the connection breaks, and says of what was under way that nobody knows', async () => {
    const broken = new ConnectError('gone', Code.Unavailable);
    const { counts, calls } = await run((name) => (name === 'n3' ? Promise.reject(broken) : later()));
    expect(counts.unknown).toBe(1);
    expect((counts.done ?? 0) + counts.unknown! + counts.left!).toBe(101);
    expect(calls.length).toBeLessThan(3 * callsInFlight);
  });

  it('begins nothing more when it is stopped', async () => {
    const stopping = new AbortController();
    const { counts, calls } = await run(async (name) => {
      if (name === 'n40') stopping.abort();
      await later();
      if (stopping.signal.aborted) throw new ConnectError('closed', Code.Canceled);
    }, stopping);
    expect(calls.length).toBeLessThan(41 + callsInFlight);
    expect(counts.left).toBe(101 - calls.length);
    expect(counts.unknown).toBeGreaterThan(0);
  });
});
