import { PgAttemptStore } from './attempt-store.ts';
import { PgAuditStore } from './audit-store.ts';
import { PgCalendarStore } from './calendar-store.ts';
import { PgCancelStore } from './cancel-store.ts';
import { PgContinuationStore } from './continuation-store.ts';
import type { Database } from './database.ts';
import { PgFeedStore } from './feed-store.ts';
import { PgHeldStore } from './held-store.ts';
import { PgInstanceStore } from './instance-store.ts';
import { PgIntakeStore } from './intake-store.ts';
import { PgJobStore } from './job-store.ts';
import { PgLeaseStore } from './lease-store.ts';
import { PgLedgerStore } from './ledger-store.ts';
import { PgLimitStore } from './limit-store.ts';
import { PgLogStore } from './log-store.ts';
import { PgNamespaceStore } from './namespace-store.ts';
import { PgPauseStore } from './pause-store.ts';
import { PgQueueStore } from './queue-store.ts';
import { PgReportStore } from './report-store.ts';
import { PgRequestStore } from './request-store.ts';
import { PgSecretStore } from './secret-store.ts';
import { PgTenancyStore } from './tenancy-store.ts';
import { PgTimerStore } from './timer-store.ts';
import { PgTokenStore } from './token-store.ts';
import { PgTriggerStore } from './trigger-store.ts';
import { PgWorkerStore } from './worker-store.ts';

/** Everything that is kept, by part. Functions of the parts take `db` or a transaction first. */
export type Store = ReturnType<typeof createStore>;

export function createStore(database: Database) {
  return {
    db: database.db,
    transaction: database.transaction.bind(database),
    rehearse: database.rehearse.bind(database),
    snapshot: database.snapshot.bind(database),
    /** A connection outside the pool; the caller ends it. */
    connect: database.connect.bind(database),
    ping: database.ping.bind(database),
    attempts: new PgAttemptStore(),
    audits: new PgAuditStore(),
    calendars: new PgCalendarStore(),
    cancels: new PgCancelStore(),
    continuations: new PgContinuationStore(),
    feed: new PgFeedStore(),
    held: new PgHeldStore(),
    instances: new PgInstanceStore(),
    intake: new PgIntakeStore(),
    jobs: new PgJobStore(),
    leases: new PgLeaseStore(),
    ledger: new PgLedgerStore(),
    limits: new PgLimitStore(),
    logs: new PgLogStore(),
    namespaces: new PgNamespaceStore(),
    pauses: new PgPauseStore(),
    queues: new PgQueueStore(),
    reports: new PgReportStore(),
    requests: new PgRequestStore(),
    secrets: new PgSecretStore(),
    tenancy: new PgTenancyStore(),
    timers: new PgTimerStore(),
    tokens: new PgTokenStore(),
    triggers: new PgTriggerStore(),
    workers: new PgWorkerStore(),
  };
}
