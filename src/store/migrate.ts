import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Logger } from '../platform/logger.ts';

/** One file of src/store/migrations: applied once, never changed after its release. */
type Migration = {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
};

/** Any number that other programs on the same database do not use: "carillon" in ASCII, cut to 63 bits. */
const migrationLockKey = '7161132801654648686';

const oldestPostgres = 140000;

/** The migrations that this version knows, in order. */
export async function readMigrations(): Promise<readonly Migration[]> {
  const folder = join(import.meta.dirname, 'migrations');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file) => {
      const sql = await readFile(join(folder, file), 'utf8');
      const version = Number.parseInt(file, 10);
      return {
        version,
        name: file.slice(0, -'.sql'.length),
        sql,
        checksum: createHash('sha256').update(sql).digest('hex'),
      };
    }),
  );
}

/**
 * Brings the schema `carillon` of a database up to this version.
 *
 * Each migration is one transaction together with its row in
 * carillon.migration, so a process killed half-way leaves whole migrations
 * only and the next start goes on. A session-level advisory lock lets one
 * migrator work at a time; the others wait and then find nothing to do.
 * Refuses a Postgres older than 14, a migration whose text was changed after
 * it ran, and a database that a newer version has migrated.
 *
 * @returns the names of the migrations that were applied now.
 */
export async function migrate(databaseUrl: string, logger?: Logger): Promise<readonly string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'carillon migrate' });
  // A connection that breaks fails the query under way; the event must not fail the process.
  client.on('error', (error) => logger?.warn({ error }, 'migration connection broke'));
  await client.connect();
  try {
    const { rows } = await client.query<{ version: number }>(
      "select current_setting('server_version_num')::int as version",
    );
    const serverVersion = rows[0]!.version;
    if (serverVersion < oldestPostgres) {
      throw new Error(`Postgres 14 or newer is needed; this server is ${Math.floor(serverVersion / 10000)}`);
    }
    await client.query(`select pg_advisory_lock(${migrationLockKey})`);
    return await applyPending(client, await readMigrations(), logger);
  } finally {
    await client.end();
  }
}

async function applyPending(
  client: pg.Client,
  migrations: readonly Migration[],
  logger: Logger | undefined,
): Promise<readonly string[]> {
  await client.query(`
    create schema if not exists carillon;
    create table if not exists carillon.migration (
      version integer primary key,
      name text not null,
      checksum text not null,
      applied_at timestamptz not null default now()
    )`);
  const { rows } = await client.query<{ version: number; name: string; checksum: string }>(
    'select version, name, checksum from carillon.migration order by version',
  );
  const applied = new Map(rows.map((row) => [row.version, row]));
  const newest = migrations.at(-1)?.version ?? 0;
  const unknown = rows.find((row) => row.version > newest);
  if (unknown) {
    throw new Error(
      `the database was migrated by a newer version (${unknown.name}); this one knows up to ${newest}`,
    );
  }
  const done: string[] = [];
  for (const migration of migrations) {
    const before = applied.get(migration.version);
    if (before) {
      if (before.checksum !== migration.checksum) {
        throw new Error(`migration ${migration.name} differs from what was applied to this database`);
      }
      continue;
    }
    await client.query('begin');
    try {
      await client.query(migration.sql);
      await client.query('insert into carillon.migration (version, name, checksum) values ($1, $2, $3)', [
        migration.version,
        migration.name,
        migration.checksum,
      ]);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch((rollbackError: unknown) => {
        logger?.warn({ error: rollbackError }, 'rollback of a migration failed');
      });
      throw new Error(`migration ${migration.name} failed`, { cause: error });
    }
    done.push(migration.name);
    logger?.info({ migration: migration.name }, 'migration applied');
  }
  return done;
}
