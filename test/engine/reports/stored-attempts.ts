/** Attempts in a real database that callees report on, with the parts of the engine that take the reports. */
import { beforeAll } from 'vitest';
import type { JobDefinition } from '../../../src/domain/job.ts';
import { AttemptTokens } from '../../../src/engine/reports/attempt-tokens.ts';
import { CalleeSweep } from '../../../src/engine/reports/callee-sweep.ts';
import { ReportDesk } from '../../../src/engine/reports/report-desk.ts';
import type { EndReport } from '../../../src/engine/reports/report-messages.ts';
import type { FindSecretText } from '../../../src/engine/secrets/secret-texts.ts';
import type { FindSigningKeys } from '../../../src/engine/secrets/signing-keys.ts';
import { TargetMasks } from '../../../src/engine/secrets/target-masks.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { AttemptEnd } from '../../../src/store/attempt-store.ts';
import type { HandOver } from '../../../src/store/report-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';
import { useStoredJobs } from '../stored-jobs.ts';

/** One attempt that an instance has claimed. */
export type BegunAttempt = {
  readonly executionId: number;
  readonly attempt: number;
  readonly jobId: number;
  readonly token: string;
};

/** The term in which the sweep leads. */
const term = 3;

const retry = { maxAttempts: 3, initialBackoffMs: 60_000, maxBackoffMs: 60_000, multiplier: 1, jitter: 0 };

/** A database for the tests of a file, and an instance that claims in it. */
export function useStoredAttempts() {
  const stored = useStoredJobs();
  const { rows } = stored;
  let instanceId = 0;
  let tokens: AttemptTokens;

  beforeAll(async () => {
    const { store } = stored;
    const instance = { name: 'one', roles: 'dispatcher', version: '0' };
    instanceId = await store.instances.register(store.db, instance, 3_600_000);
    tokens = new AttemptTokens(store);
    await tokens.start();
    await rows(
      `insert into carillon.leader_lease (name, instance_id, term, expires_at)
       values ('scheduler', $1, ${term}, clock_timestamp() + interval '1 hour')`,
      [instanceId],
    );
  });

  /** Claims what waits; it is what the test has added. */
  async function claim(): Promise<BegunAttempt> {
    const { store } = stored;
    const [claimed] = await store.attempts.claim(store.db, instanceId, 1);
    const { executionId, attempt, jobId } = claimed!;
    return { executionId, attempt, jobId, token: tokens.create(claimed!) };
  }

  /** An execution that an instance has just begun. */
  async function begin(definition: Partial<JobDefinition> = {}): Promise<BegunAttempt> {
    const jobId = await stored.addJob({ definition: { retry, ...definition } });
    await stored.addExecution(jobId, { fireMs: 0, state: 'PENDING' });
    return claim();
  }

  /** Hands an attempt to its callee; whether that changed anything. */
  async function handOver(
    { executionId, attempt }: BegunAttempt,
    more: Partial<HandOver> = {},
  ): Promise<boolean> {
    const { store } = stored;
    const given = { executionId, attempt, timeoutMs: 300_000, loggedBytes: 0, ...more };
    return (await store.reports.handOver(store.db, instanceId, [given])).length > 0;
  }

  /** An attempt that is with its callee. */
  async function accepted(more: Partial<HandOver> = {}): Promise<BegunAttempt> {
    const attempt = await begin();
    await handOver(attempt, more);
    return attempt;
  }

  return {
    rows,
    claim,
    begin,
    handOver,
    accepted,
    get store() {
      return stored.store;
    },
    get instanceId() {
      return instanceId;
    },

    /** The parts, over a clock that the test drives, and what they told whom. */
    parts({
      maxLogBytes = 1_000_000,
      cancelGraceMs = 30_000,
      findSigningKeys = async () => ({ missing: 'secret' }),
      findSecretText = async () => ({ missing: 'secret' }),
    }: {
      readonly maxLogBytes?: number;
      readonly cancelGraceMs?: number;
      readonly findSigningKeys?: FindSigningKeys;
      readonly findSecretText?: FindSecretText;
    } = {}) {
      const { store } = stored;
      const { jobs, topics } = stored.engine();
      const clock = new ManualClock();
      const finished: number[] = [];
      const notifier = { notify: (topic: string) => void topics.push(topic) };
      const continuation = { look: (ids: Iterable<number>) => void finished.push(...ids) };
      const random = (): number => 0;
      const common = { store, jobs, continuation, notifier, random };
      const masks = new TargetMasks({ findSigningKeys, findSecretText });
      const desk = new ReportDesk({ ...common, tokens, masks, clock, maxLogBytes: () => maxLogBytes });
      const sweep = new CalleeSweep({ ...common, logger: silentLogger, cancelGraceMs });
      return {
        desk,
        clock,
        topics,
        finished,
        sweep: (leaderTerm = term) => sweep.sweep({ instanceId, term: leaderTerm }),
      };
    },

    /** Ends an attempt as its instance does; whether that changed anything. */
    async endByInstance({ executionId, attempt }: BegunAttempt, end: Partial<AttemptEnd>): Promise<boolean> {
      const { store } = stored;
      const whole = { executionId, attempt, outcome: 'SUCCEEDED', message: '', ...end } as const;
      return (await store.attempts.end(store.db, instanceId, [whole])).length > 0;
    },

    /** Lets the time of an attempt be over: of a column of its open row. */
    async expire({ executionId }: BegunAttempt, column: 'report_by' | 'heartbeat_by'): Promise<void> {
      await rows(
        `update carillon.open_execution set ${column} = clock_timestamp() - interval '1 second'
          where execution_id = $1`,
        [executionId],
      );
    },

    cancel: ({ executionId }: BegunAttempt, reason = 'not needed') =>
      stored.store.transaction((tx) =>
        stored.store.cancels.cancel(tx, { executionIds: [executionId] }, reason),
      ),

    /** The execution as the ledger shows it. */
    ledger: async ({ executionId }: BegunAttempt) =>
      (await stored.store.ledger.find(stored.store.db, executionId))!,

    /** The open row, as far as it is about reports; undefined once the execution is final. */
    async openRow({ executionId }: BegunAttempt) {
      const [row] = await rows<{
        holder: number | null;
        attempt: number;
        reportBy: Date | null;
        heartbeatBy: Date | null;
        lines: number | null;
        bytes: number | null;
      }>(
        `select instance_id as holder, attempt, report_by as "reportBy", heartbeat_by as "heartbeatBy",
                reported_lines as lines, reported_bytes as bytes
           from carillon.open_execution where execution_id = $1`,
        [executionId],
      );
      return row;
    },

    linesOf: ({ executionId }: BegunAttempt) =>
      rows<{ seq: number; attempt: number; message: string }>(
        'select seq, attempt, message from carillon.log_entry where execution_id = $1 order by seq',
        [executionId],
      ),
  };
}

/** A report of an end. */
export const endReport = ({ token }: BegunAttempt, more: Partial<EndReport> = {}): EndReport => ({
  token,
  state: 'SUCCEEDED',
  message: '',
  retryable: true,
  ...more,
});

/** Lines with these words. */
export const linesOf = (...messages: readonly string[]) =>
  messages.map((message) => ({ level: 'INFO' as const, message }));
