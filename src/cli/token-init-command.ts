import type { Command } from 'commander';
import { loadConfig } from '../config/load-config.ts';
import { ConfigError } from '../config/option-reader.ts';
import { systemClock } from '../platform/clock.ts';
import { silentLogger } from '../platform/logger.ts';
import { failureText, withConfiguredDatabase } from './configured-database.ts';

/**
 * Adds `carillon token init`: makes a token of an administrator straight in the
 * database, for the first one and for when all are lost. Whoever can reach the
 * database needs no leave.
 */
export function declareTokenInit(group: Command): void {
  group
    .command('init')
    .description('Make a token of an administrator in the database of DATABASE_URL, or the embedded one')
    .option('--name <name>', 'what people call it', 'operator')
    .action(async ({ name }: { readonly name: string }) => {
      try {
        const text = await withConfiguredDatabase(loadConfig(), (url) => makeToken(url, name));
        process.stderr.write(`made a token of an administrator (${name}); it is shown this once:\n`);
        process.stdout.write(`${text}\n`);
      } catch (error) {
        process.stderr.write(`${failureText(error)}\n`);
        process.exitCode = error instanceof ConfigError ? 2 : 1;
      }
    });
}

async function makeToken(url: string, name: string): Promise<string | undefined> {
  const { migrate } = await import('../store/migrate.ts');
  const { Database } = await import('../store/database.ts');
  const { createStore } = await import('../store/store.ts');
  const { createAdminToken } = await import('../engine/access/first-token.ts');
  await migrate(url);
  const database = new Database({ url, poolSize: 1, clock: systemClock, logger: silentLogger });
  try {
    return await createAdminToken(createStore(database), { name, onlyFirst: false });
  } finally {
    await database.close();
  }
}
