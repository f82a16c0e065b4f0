/**
 * vitest's global setup: one Postgres for the whole run, with a template
 * database that holds the migrated schema, and one compile cache for the
 * Carillon processes of this run and of those to come.
 *
 * A migration that fails does not fail the run: test files that need no
 * database go on, the others get the error from `createTestDatabase`.
 */
import { spawn } from 'node:child_process';
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

const root = join(import.meta.dirname, '..', '..');
const sources = join(root, 'src');

/** Entries belong to a version of Node and of the file, so what is in there never misleads. */
const compileCache = join(root, 'node_modules', '.cache', 'carillon-test');

const loadAll = 'for (const path of process.argv.slice(1)) await import(path);';

/** Starts the cluster and makes the template; returns what ends it. A cluster with databases of red files stays on disk. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeAbandonedClusters();
  process.env.NODE_COMPILE_CACHE = compileCache;
  const [postgres] = await Promise.all([startPostgres(), fillCompileCache()]);
  const templateFailure = await createTemplate(postgres.url).then(
    () => undefined,
    (error: unknown) => describe(error),
  );
  project.provide('postgres', { adminUrl: postgres.url, templateFailure, dataDir: postgres.dataDir });
  return () => end(postgres);
}

/**
 * Loads all of Carillon once. More than a hundred processes read what this one
 * compiles; they would not fill the cache themselves, because most of them are
 * killed, and only a process that ends by itself writes.
 */
async function fillCompileCache(): Promise<void> {
  const modules = ['serve.ts', 'cli/program.ts'].map((name) => join(sources, name));
  const child = spawn(process.execPath, ['--input-type=module', '--eval', loadAll, ...modules], {
    stdio: 'ignore',
  });
  // When it fails, the tests say why.
  await new Promise((resolve) => child.once('error', resolve).once('exit', resolve));
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
