/** Applying twice finds nothing to do: for every field of a job, alone and together, and for jobs drawn by chance. */
import { type DescMessage, isMessage, type Message, toJson } from '@bufbuild/protobuf';
import { type ReflectList, type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import { SecretKind } from '../../../gen/carillon/v1/secret_pb.js';
import { carryOut } from '../../../src/cli/apply/carry-out.ts';
import { definitionFields } from '../../../src/cli/apply/definition-fields.ts';
import { readManifests } from '../../../src/cli/apply/manifests.ts';
import { problemToText } from '../../../src/cli/apply/placed-value.ts';
import type { Step } from '../../../src/cli/apply/plan.ts';
import { listOwned, surveyJobs } from '../../../src/cli/apply/survey.ts';
import { type CarillonClient, createCarillonClient } from '../../../src/cli/client.ts';
import { firstBundle } from '../../engine/targets/http/client-certificates.ts';
import { useInstance } from '../../support/instance-process.ts';
import { useTestDatabase } from '../../support/postgres.ts';

const database = useTestDatabase();
const env = { CARILLON_SECRET_KEY: Buffer.alloc(32, 5).toString('base64') };
const instance = useInstance(() => ({ databaseUrl: database.url, env }));
let client: CarillonClient;
const { signal } = new AbortController();

beforeAll(async () => {
  client = createCarillonClient(instance().grpc);
  await client.admin.putCalendar({
    calendar: { name: 'holidays', dates: ['2099-12-25'] },
  });
  await client.admin.putSecret({ name: 'hook' });
  await client.admin.putSecret({ name: 'crm', kind: SecretKind.TEXT, value: 'Bearer x' });
  await client.admin.putSecret({ name: 'cert', kind: SecretKind.CLIENT_CERTIFICATE, value: firstBundle });
});
afterAll(() => client?.close());

type Draft = Readonly<Record<string, unknown>>;

const manifestsOf = (jobs: readonly Draft[]) => {
  const text = JSON.stringify({ owner: 'drift', jobs });
  const { manifests, problems } = readManifests([{ name: 'a', text }]);
  expect(problems.map(problemToText)).toEqual([]);
  return manifests;
};

async function survey(jobs: readonly Draft[]): Promise<readonly Step[]> {
  const call = { jobs: client.jobs, signal };
  const manifests = manifestsOf(jobs);
  const wanted = manifests.flatMap((each) => each.jobs);
  const { steps, refusals } = await surveyJobs(call, wanted, await listOwned(call, manifests), {
    adopts: false,
  });
  expect(refusals.map(problemToText)).toEqual([]);
  return steps;
}

/** Applies; returns what each job's step was, with the fields that changed. */
async function apply(jobs: readonly Draft[]): Promise<string[]> {
  const steps = await survey(jobs);
  await carryOut({ jobs: client.jobs, signal }, steps, async (step, outcome) => {
    expect(outcome, JSON.stringify(step.action)).toEqual({ kind: 'done' });
  });
  return steps.map((step) =>
    step.action === 'change'
      ? [...new Set(step.changes.map(({ path }) => /^\w+/.exec(path)![0]))].join()
      : step.action,
  );
}

const bounds = { start_time: '2099-01-01T00:00:00Z', end_time: '2099-12-31T00:00:00+01:00' };
const tls = { enabled: true, server_name: 'callee.example', client_certificate_secret_name: 'cert' };

/** Every field that defines a job, each with a value that is not its default. */
const full = {
  description: 'All of it',
  labels: { team: 'x', 'with blanks': '' },
  schedules: [
    {
      name: 'cron',
      cron: {
        expression: 'H  2 * * mon',
        dialect: 'unix',
        time_zone: 'europe/berlin',
        gap: 'skip',
        ambiguous: 'both',
      },
      ...bounds,
      jitter: '1500ms',
      calendars: ['holidays'],
      repeat_count: 3,
    },
    { interval: { every: '90m', mode: 'fixed-delay', anchor_time: '2099-02-01T00:00:00Z' } },
    { at: '2099-03-01T12:00:00.5+02:00' },
    { every: '1h' },
    { cron: '@every 90s', start_time: '2098-12-31T23:30:00-00:30' },
  ],
  target: {
    http: {
      url: 'https://callee.example/{{ job.name }}',
      method: 'PUT',
      headers: { 'X-A': 'b', 'x-empty': '' },
      body: '{"a": {{ parameters }}}',
      success_codes: [204, 200],
      timeout: '1.5s',
      signing_secret_name: 'hook',
      secret_headers: { Authorization: 'crm', 'X-Key': 'crm' },
      template: true,
      heartbeat_timeout: '2m',
    },
  },
  parameters: {
    text: '',
    object: { z: 1, a: [1.5, -0, { b: null }], é: 'ü', big: 1e21, nested: { '': {} } },
    list: [
      { name: 'b', value: '' },
      { name: 'a', value: 'x' },
    ],
  },
  priority: -3,
  overlap: 'cancel-other',
  misfire: { policy: 'run-all', grace: '0s', max_catch_up: 7, catch_up_window: '90m' },
  retry: { max_attempts: 1, initial_backoff: '0s', max_backoff: '1ms', multiplier: 1.1, jitter: 0 },
  attempt_timeout: '1ms',
  queue_timeout: '365d',
  max_running: 9,
  start_paused: true,
} as const;

const targets = {
  grpc: {
    address: 'callee.example:50051',
    tls,
    metadata: { 'x-a': 'b' },
    method: 'acme.Jobs/Run',
    secret_metadata: { 'x-key': 'crm' },
  },
  socket: {
    host: '::1',
    port: 9,
    tls: { enabled: true, ca_pem: /-+BEGIN CERTIFICATE-[\s\S]*?-END CERTIFICATE-+/.exec(firstBundle)![0] },
    connect_timeout: '10s',
    idle_timeout: '1ms',
    heartbeat_timeout: '1s',
  },
  worker: { queue: 'q', labels: { a: 'b' } },
};

const bare = { target: { http: { url: 'http://callee.example' } } };

/** The fields that a message sets, itself and in what it holds. */
function setFields(message: ReflectMessage, found: Set<string>): void {
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    found.add(`${message.desc.typeName}.${field.name}`);
    const value: unknown = message.get(field);
    const items = field.fieldKind === 'list' ? [...(value as ReflectList)] : [value];
    for (const item of items) {
      const inner = (item as ReflectMessage | undefined)?.message as Message | undefined;
      if (inner && isMessage(inner) && field.message) setFields(item as ReflectMessage, found);
    }
  }
}

/** All fields of a message and of those that it can hold. */
function allFields(desc: DescMessage, found: Set<string>): Set<string> {
  for (const field of desc.fields) {
    if (desc === JobSchema && !definitionFields.includes(field.name)) continue;
    const name = `${desc.typeName}.${field.name}`;
    if (found.has(name)) continue;
    found.add(name);
    if (field.message?.typeName.startsWith('carillon.')) allFields(field.message, found);
  }
  return found;
}

describe('applying again', () => {
  const everything: readonly Draft[] = [
    { name: 'http', ...full },
    ...Object.entries(targets).map(([name, target]) => ({ name, ...full, target: { [name]: target } })),
    { name: 'bare', ...bare },
    // Each field alone, so that none hides behind another.
    ...definitionFields
      .filter((field) => field !== 'target')
      .map((field) => ({ name: `only ${field}`, ...bare, [field]: full[field as keyof typeof full] })),
  ];

  it('goes over every field of a job', () => {
    const found = new Set<string>();
    for (const { job } of manifestsOf(everything)[0]!.jobs) setFields(reflect(JobSchema, job), found);
    const missing = [...allFields(JobSchema, new Set())].filter((field) => !found.has(field));
    expect(missing).toEqual([]);
  });

  it('finds nothing to do, whatever the service fills in', async () => {
    expect(new Set(await apply(everything))).toEqual(new Set(['create']));
    expect(new Set(await apply(everything))).toEqual(new Set(['unchanged']));
    // Pasted from what the service answers, it is the same manifest.
    const { jobs } = await client.jobs.list({
      filter: { labels: { 'carillon.io/owner': 'drift' } },
      pageSize: 500,
    });
    const pasted = jobs.map((job) => toJson(JobSchema, job) as Draft);
    expect(new Set(await apply(pasted))).toEqual(new Set(['unchanged']));
  });

  it.each(definitionFields.filter((field) => field !== 'target'))(
    'finds the field %s that is gone or back, and then nothing',
    async (field) => {
      const [less, more] = [
        { name: `moves ${field}`, ...bare },
        { name: `moves ${field}`, ...bare, [field]: full[field as keyof typeof full] },
      ];
      const rounds = [];
      for (const job of [less, more, more, less, less]) rounds.push(...(await apply([job])));
      expect(rounds).toEqual(['create', field, 'unchanged', field, 'unchanged']);
    },
  );

  it('finds nothing to do for jobs drawn by chance', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 12 });
    const name = fc.stringMatching(/^[a-z]{1,8}$/);
    const span = fc.integer({ min: 1, max: 86_399_999 }).map((ms) => `${ms}ms`);
    const instant = fc
      .date({ min: new Date('2099-01-01'), max: new Date('2150-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString());
    const kind = fc.oneof(
      fc.record({ every: fc.integer({ min: 10, max: 1e12 }).map((ms) => `${ms}ms`) }),
      fc.record({ at: instant }),
      fc.record({
        cron: fc.constantFrom(
          '* * * * *',
          '*/5 1-3 * * MON',
          '0 0 L * *',
          '@daily',
          '@every 2h',
          'H H * * *',
          '1,2 0 3 * * ?',
        ),
        time_zone: fc.constantFrom('UTC', 'America/new_york', 'Asia/Kolkata'),
      }),
    );
    const schedule = fc
      .tuple(
        kind,
        fc.record(
          { jitter: span, repeat_count: fc.nat(9), calendars: fc.constant(['holidays']) },
          { requiredKeys: [] },
        ),
      )
      .map(([a, b]) => ({ ...a, ...b }));
    const json = fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3, noNullPrototype: true });
    const job = fc.record(
      {
        description: text,
        labels: fc.dictionary(name, text, { maxKeys: 3, noNullPrototype: true }),
        schedules: fc.array(schedule, { maxLength: 3 }),
        parameters: fc.record({ text, object: json }, { requiredKeys: [] }),
        priority: fc.integer({ min: -1e6, max: 1e6 }),
        overlap: fc.constantFrom('skip', 'buffer-one', 'buffer-all', 'cancel-other', 'allow'),
        misfire: fc.record({ grace: span, max_catch_up: fc.nat(10_000) }, { requiredKeys: [] }),
        retry: fc.record(
          {
            max_attempts: fc.nat(100),
            initial_backoff: span,
            jitter: fc.double({ min: 0, max: 1, noNaN: true }),
          },
          { requiredKeys: [] },
        ),
        attempt_timeout: span,
        max_running: fc.nat(1e6),
      },
      { requiredKeys: [] },
    );
    const seed = 20_270;
    const clean = (value: unknown) => JSON.parse(JSON.stringify(value).replaceAll('\\u0000', ' ')) as Draft;
    const jobs = fc
      .sample(job, { numRuns: 150, seed })
      .map((each, i) => ({ name: `n${i}`, ...bare, ...clean(each) }));
    expect(new Set(await apply(jobs))).toEqual(new Set(['create']));
    const again = (await survey(jobs)).filter(({ action }) => action !== 'unchanged');
    expect(again.map((step) => ('changes' in step ? step.changes : step.action))).toEqual([]);
  });
});
