import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, inject, type RunnerTask } from 'vitest';
import { templateName } from './postgres-cluster.ts';

export { type PostgresOptions, startPostgres, type TestPostgres } from './postgres-process.ts';

/** A database of one test file. */
export type TestDatabase = {
  readonly url: string;
  readonly name: string;
  /** Ends whoever is still connected and removes it. */
  drop(): Promise<void>;
};

/** The database `postgres` of the run's cluster as superuser: for tests that make databases and end sessions. */
export const adminUrl = (): string => inject('postgres').adminUrl;

/** Creates a database with the migrated schema and no rows; or without the schema when `empty` is true. */
export async function createTestDatabase(options: { readonly empty?: boolean } = {}): Promise<TestDatabase> {
  const { templateFailure } = inject('postgres');
  if (templateFailure && !options.empty) throw new Error(`the migrations failed: ${templateFailure}`);
  const name = `test_${randomBytes(6).toString('hex')}`;
  await runAsAdmin(`create database ${name} template ${options.empty ? 'template0' : templateName}`);
  const url = new URL(adminUrl());
  url.pathname = `/${name}`;
  return { url: url.href, name, drop: () => runAsAdmin(`drop database if exists ${name} with (force)`) };
}

/**
 * Gives the test file a database of its own: made before its first test,
 * dropped after its last when all were green, kept when one was red. The
 * cluster of a kept database stays on disk for an hour, stopped; start it with
 * `postgres -D <folder> -p <port>` as the user `postgres`.
 */
export function useTestDatabase(
  options: { readonly empty?: boolean } = {},
): Pick<TestDatabase, 'url' | 'name'> {
  let database: TestDatabase | undefined;
  const get = (): TestDatabase => {
    if (!database) throw new Error('the test database exists from beforeAll on');
    return database;
  };
  beforeAll(async () => {
    database = await createTestDatabase(options);
  });
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the parameter list and insists on a pattern here.
  afterAll(async ({}, suite) => {
    if (!database) return;
    if (!suite.tasks.some(isRed)) return database.drop();
    console.error(`kept the test database ${database.name} in ${inject('postgres').dataDir}`);
  });
  return {
    get url() {
      return get().url;
    },
    get name() {
      return get().name;
    },
  };
}

const isRed = (task: RunnerTask): boolean =>
  task.result?.state === 'fail' || (task.type === 'suite' && task.tasks.some(isRed));

/** Runs a statement on the cluster's own database. */
export async function runAsAdmin(statement: string): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl() });
  await admin.connect();
  try {
    await admin.query(statement);
  } finally {
    await admin.end();
  }
}
