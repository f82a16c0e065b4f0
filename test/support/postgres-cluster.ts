/**
 * vitest's global setup: one Postgres for the whole run, with a template
 * database that holds the migrated schema.
 *
 * A migration that fails does not fail the run: test files that need no
 * database go on, the others get the error from `createTestDatabase`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../src/store/migrate.ts';
import { removeAbandonedClusters, startPostgres, type TestPostgres } from './postgres-process.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: {
      /** The database `postgres` of the cluster, as superuser. */
      readonly adminUrl: string;
      /** Why there is no template; undefined when there is one. */
      readonly templateFailure: string | undefined;
      /** The cluster's data folder. */
      readonly dataDir: string;
    };
  }
}

/** The name of the database that test databases are copies of. */
export const templateName = 'carillon_template';

/** Starts the cluster and makes the template; returns what ends it. A cluster with databases of red files stays on disk. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandonedClusters();
  // Hundreds of Carillon processes are started: what the first ones compile, the others read.
  const compileCache = await mkdtemp(join(tmpdir(), 'carillon-test-compile-cache-'));
  process.env.NODE_COMPILE_CACHE = compileCache;
  const postgres = await startPostgres();
  const templateFailure = await createTemplate(postgres.url).then(
    () => undefined,
    (error: unknown) => describe(error),
  );
  project.provide('postgres', { adminUrl: postgres.url, templateFailure, dataDir: postgres.dataDir });
  return async () => {
    await end(postgres);
    // A process that was killed a moment ago may still be writing there.
    await rm(compileCache, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
}

async function end(postgres: TestPostgres): Promise<void> {
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  const kept = await admin.query("select from pg_database where datname like 'test\\_%'");
  await admin.end();
  if (kept.rowCount) await postgres.stop();
  else await postgres.remove();
}

async function createTemplate(adminUrl: string): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    await admin.query(`create database ${templateName}`);
    const url = new URL(adminUrl);
    url.pathname = `/${templateName}`;
    await migrate(url.href);
    // Nobody may be connected to a database while it is copied.
    await admin.query(`alter database ${templateName} with allow_connections false is_template true`);
  } finally {
    await admin.end();
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describe(error.cause)}` : error.message;
}
