/** The limits of a namespace on logs and streams, as the callers of an instance meet them. */
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import type { Job } from '../../gen/carillon/v1/job_pb.js';
import { ErrorInfoSchema, QuotaFailureSchema } from '../../gen/google/rpc/error_details_pb.js';
import { Worker } from '../../src/worker/index.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstance } from '../support/instance-process.ts';
import { type JobDraft, manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { useRecordingCallee } from '../support/recording-callee.ts';

type Executions = Client<typeof ExecutionService>;

const database = useTestDatabase();
const callee = useRecordingCallee();
const instance = useInstance(() => ({ databaseUrl: database.url }));

/** Two namespaces, of which the first is limited. Instances know it when they have read it once more. */
beforeAll(async () => {
  const limits = { logBytesPerAttempt: 2_048n, maxStreams: 3 };
  await instance().admin.createNamespace({ namespace: { name: 'narrow', limits } });
  await instance().admin.createNamespace({ namespace: { name: 'wide' } });
  for (const namespace of ['narrow', 'wide']) {
    await addJob(namespace, 'watched', callee.url('/hang'));
    // What is open is the first message of a stream.
    await instance().jobs.trigger({ job: refOf(namespace, 'watched') });
  }
  await awaitThat('the limit is known', async () => {
    const ends = await Promise.all(Array.from({ length: 4 }, () => open(instance().executions, watched())));
    for (const end of ends) if ('abort' in end) end.abort();
    return ends.some((end) => 'refusal' in end);
  });
  await awaitThat('none of those is open', () => mayOpen(instance().executions, 3));
});

const refOf = (namespace: string, name: string) =>
  ({ ref: { case: 'key', value: { namespace, name } } }) as const;

async function addJob(namespace: string, name: string, url: string, more: JobDraft = {}): Promise<Job> {
  const { job } = await instance().jobs.add({
    job: manualJob('', url, { key: { namespace, name }, ...more }),
  });
  return job!;
}

/** Runs a job once, and returns its lines when it has ended. */
async function linesOf(namespace: string, name: string) {
  const { executions, jobs } = instance();
  const { execution } = await jobs.trigger({ job: refOf(namespace, name) });
  const executionId = execution!.id;
  await awaitThat(
    'it has succeeded',
    async () => (await executions.get({ executionId })).execution!.finishTime !== undefined,
  );
  const { entries } = await executions.listLogs({ executionId, pageSize: 500 });
  return { executionId, entries };
}

type StreamSource = Parameters<Executions['stream']>[0]['source'];

const watched = (namespace = 'narrow'): StreamSource => ({ case: 'job', value: refOf(namespace, 'watched') });

/** Opens a stream and takes its first message, or is refused. */
async function open(
  executions: Executions,
  source: StreamSource,
): Promise<{ readonly abort: () => void } | { readonly refusal: ConnectError }> {
  const controller = new AbortController();
  const { signal } = controller;
  const messages = executions.stream({ source, follow: true }, { signal })[Symbol.asyncIterator]();
  try {
    await messages.next();
  } catch (error) {
    return { refusal: ConnectError.from(error) };
  }
  // What becomes of it is nobody's business any more.
  messages.next().catch(() => undefined);
  return { abort: () => controller.abort() };
}

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

/** Whether so many streams may be open at once; they are closed again. */
async function mayOpen(executions: Executions, count: number): Promise<boolean> {
  const opened = await Promise.all(Array.from({ length: count }, () => open(executions, watched())));
  for (const each of opened) if ('abort' in each) each.abort();
  return opened.every((each) => 'abort' in each);
}

describe('the log of an attempt', () => {
  it.each(['HTTP', 'WORKER'])(
    'is cut at what its namespace allows, and says so; that of another namespace is not: %s',
    async (kind) => {
      const name = `talks over ${kind}`;
      for (const namespace of ['narrow', 'wide']) {
        const target = { kind: { case: 'worker', value: { queue: 'talks' } } } as const;
        await addJob(namespace, name, callee.url('/lines?count=100'), kind === 'WORKER' ? { target } : {});
        if (kind !== 'WORKER') continue;
        const handler = async ({ log }: { log: { info(message: string): void } }) => {
          for (let n = 1; n <= 100; n++) log.info(`line ${n}`);
        };
        const worker = new Worker({
          address: instance().grpc,
          namespace,
          queue: 'talks',
          capacity: 1,
          handler,
        });
        onTestFinished(() => worker.stop());
        await worker.start();
      }
      const { entries: cut } = await linesOf('narrow', name);
      expect(cut.length).toBeGreaterThan(5);
      expect(cut.length).toBeLessThan(2_048 / 64 + 1);
      expect(cut[0]).toMatchObject({ message: 'line 1' });
      expect(cut.at(-1)).toMatchObject({ level: LogLevel.WARN, message: 'log limit reached' });
      expect(cut.filter(({ level }) => level === LogLevel.WARN)).toHaveLength(1);
      const { entries: whole } = await linesOf('wide', name);
      expect(whole).toHaveLength(100);
    },
  );

  it('is cut where its callee reports later, too', async () => {
    for (const namespace of ['narrow', 'wide']) {
      const name = `reports in ${namespace}`;
      await addJob(namespace, name, callee.url('/accept'));
      await instance().jobs.trigger({ job: refOf(namespace, name) });
      const { token: attemptToken } = await callee.awaitHit(name, (hit) => hit.job === name);
      const entries = Array.from({ length: 100 }, (_, n) => ({ message: `line ${n}` }));
      const { dropped } = await instance().attempts.appendLogs({ attemptToken, entries });
      if (namespace === 'narrow') expect(dropped).toBeGreaterThan(50);
      else expect(dropped).toBe(0);
      await instance().attempts.complete({ attemptToken, state: ExecutionState.SUCCEEDED });
    }
  });
});

describe('the streams of a namespace', () => {
  it('beyond its limit are refused with RESOURCE_EXHAUSTED until one is closed; others go on', async () => {
    const { executions } = instance();
    const three = await Promise.all([1, 2, 3].map(() => open(executions, watched())));
    const refused = await open(executions, { case: 'selector', value: { namespace: 'narrow' } });
    if (!('refusal' in refused)) throw new Error('a fourth stream is open');
    const { refusal } = refused;
    expect(refusal.code).toBe(Code.ResourceExhausted);
    expect(refusal.findDetails(QuotaFailureSchema)).toMatchObject([
      {
        violations: [
          { subject: 'namespace narrow', description: 'at most 3 streams at once on this instance' },
        ],
      },
    ]);
    expect(refusal.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: 'QUOTA_EXCEEDED', metadata: { namespace: 'narrow', limit: '3' } },
    ]);
    const elsewhere = await open(executions, watched('wide'));
    expect(elsewhere).toHaveProperty('abort');
    const [first] = three;
    if (first && 'abort' in first) first.abort();
    const next = await awaitThat('there is room again', async () => {
      const again = await open(executions, watched());
      return 'abort' in again ? again : undefined;
    });
    for (const each of [...three, elsewhere, next]) if ('abort' in each) each.abort();
    await awaitThat('all are closed', () => mayOpen(executions, 3));
  });

  it.each(['gRPC', 'Connect'])('that clients leave count no more, over %s', async (protocol) => {
    const client =
      protocol === 'gRPC'
        ? instance().executions
        : createClient(
            ExecutionService,
            createConnectTransport({ baseUrl: instance().http, httpVersion: '1.1' }),
          );
    for (let wave = 0; wave < 20; wave++) {
      const opened = await Promise.all(Array.from({ length: 5 }, () => open(client, watched())));
      for (const each of opened) if ('abort' in each) each.abort();
      // And some that are gone before their first message has come.
      for (const ms of [0, 1, 2, 4]) {
        const signal = AbortSignal.timeout(ms);
        const hasty = client.stream({ source: watched(), follow: true }, { signal });
        await expect(drain(hasty)).rejects.toThrow(ConnectError);
      }
    }
    await awaitThat('all are closed', () => mayOpen(client, 3));
  });
});
