/** How streams are counted, over a real feed: by the namespaces of what they are of, until they end. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ExecutionFeed } from '../../src/engine/execution-feed.ts';
import { LedgerOperations } from '../../src/engine/execution-operations.ts';
import { OpenStreams } from '../../src/engine/open-streams.ts';
import type { StreamMessage, StreamRequest } from '../../src/engine/operations.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { useStoredJobs } from './stored-jobs.ts';

const stored = useStoredJobs();
const notifier = { notify: () => undefined, on: () => () => undefined };

let max: number | undefined;
let jobId: number;
let executionId: number;
let feed: ExecutionFeed;
let streams: OpenStreams;
let ledger: LedgerOperations;

beforeAll(async () => {
  jobId = await stored.addJob();
  executionId = await stored.addExecution(jobId, { fireMs: 0, state: 'PENDING' });
});
beforeEach(async () => {
  await feed?.stop();
  max = undefined;
  const { store } = stored;
  feed = new ExecutionFeed({
    store,
    notifier,
    clock: systemClock,
    logger: silentLogger,
    safetyIntervalMs: 1_000,
    heartbeatMs: 20,
    bufferBytes: 1_000_000,
  });
  await feed.start();
  streams = new OpenStreams({ maxStreamsOf: () => max });
  ledger = new LedgerOperations({ store, continuation: { look: () => undefined }, notifier, feed, streams });
});
afterAll(() => feed?.stop());

const ofExecution = (): StreamRequest['source'] => ({ executionId });

/** Opens a stream and takes its first message. */
async function open(source = ofExecution(), signal = new AbortController().signal) {
  const request: StreamRequest = { source, cursor: '', follow: true, minLevel: 'DEBUG' };
  const messages = ledger.stream(request, signal)[Symbol.asyncIterator]() as AsyncGenerator<StreamMessage>;
  await messages.next();
  return messages;
}

/** Takes messages until there are none. */
async function drain(messages: AsyncGenerator<StreamMessage>): Promise<void> {
  for await (const _ of messages);
}

describe('a stream', () => {
  it('counts in the namespace of its execution, its job or its selector', async () => {
    const { key } = (await stored.store.jobs.find(stored.store.db, { id: jobId }))!;
    const elsewhere = { selector: { namespace: 'elsewhere' } };
    const sources = [ofExecution(), { job: { id: jobId } }, { job: { key } }, { selector: key }, elsewhere];
    const opened = await Promise.all(sources.map((source) => open(source)));
    expect(streams.countOf('default')).toBe(4);
    expect(streams.countOf('elsewhere')).toBe(1);
    await Promise.all(opened.map((messages) => messages.return(undefined)));
    expect(streams.countOf('default')).toBe(0);
    expect(streams.countOf('elsewhere')).toBe(0);
  });

  it('of a selector without a namespace counts nowhere', async () => {
    max = 0;
    const messages = await open({ selector: { labels: { team: 'a' } } });
    await messages.return(undefined);
  });

  it('beyond the limit is refused, whatever it is of, before anything is read for it; one that ends makes room', async () => {
    max = 2;
    const [first] = [await open(), await open({ job: { id: jobId } })];
    await expect(open({ selector: { namespace: 'default' } })).rejects.toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      message: 'namespace default: at most 2 streams at once on this instance',
      details: {
        metadata: { namespace: 'default', limit: '2' },
        quota: { subject: 'namespace default', description: 'at most 2 streams at once on this instance' },
      },
    });
    // Refused for the limit, not for the job that is not there.
    const missing = { job: { key: { namespace: 'default', group: 'default', name: 'none' } } };
    await expect(open(missing)).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    await first.return(undefined);
    await expect(open(missing)).rejects.toMatchObject({ reason: 'JOB_NOT_FOUND' });
    await open();
    expect(streams.countOf('default')).toBe(2);
  });

  it('that is open already counts towards a limit that is set later', async () => {
    await open();
    max = 1;
    await expect(open()).rejects.toMatchObject({ reason: 'QUOTA_EXCEEDED' });
  });

  it('of what is not there, or that breaks, counts no more', async () => {
    await expect(open({ executionId: 1 })).rejects.toMatchObject({ reason: 'EXECUTION_NOT_FOUND' });
    const messages = await open();
    await expect(messages.throw(new Error('the connection broke'))).rejects.toThrow('broke');
    expect(streams.countOf('default')).toBe(0);
  });

  it('ends with the instance, and counts no more', async () => {
    const opened = await Promise.all([open(), open(), open()]);
    const ended = Promise.allSettled(opened.map(drain));
    await feed.stop();
    for (const { status } of await ended) expect(status).toBe('rejected');
    expect(streams.countOf('default')).toBe(0);
  });

  it('ends with its execution, and counts no more', async () => {
    const final = await stored.addExecution(jobId, { fireMs: 1, state: 'SUCCEEDED', finishedMs: 2 });
    await drain(await open({ executionId: final }));
    expect(streams.countOf('default')).toBe(0);
  });

  it('leaves nothing behind: 1,000 that are opened and aborted at any moment leave the count at 0', async () => {
    max = 50;
    let refused = 0;
    const one = async (n: number): Promise<void> => {
      const abort = new AbortController();
      // Before it begins, while it enters the feed, and when it is live.
      if (n % 3 === 0) abort.abort();
      if (n % 3 === 1) setImmediate(() => abort.abort());
      try {
        const messages = await open(n % 2 === 0 ? ofExecution() : { job: { id: jobId } }, abort.signal);
        abort.abort();
        if (n % 5 === 0) await messages.return(undefined);
        else await drain(messages);
      } catch (error) {
        expect(error).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
        refused++;
      }
    };
    // More at once than there may be, so that refusals are among them.
    for (let n = 0; n < 1_000; n += 100) await Promise.all(Array.from({ length: 100 }, (_, i) => one(n + i)));
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(1_000);
    expect(streams.countOf('default')).toBe(0);
  });
});
