import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load-config.ts';
import { ConfigError } from '../config/option-reader.ts';
import { systemClock } from '../platform/clock.ts';
import { createLogger } from '../platform/logger.ts';
import { plainText } from './plain-text.ts';

/**
 * The commands that work on this machine instead of calling a service. They
 * load what they need when they run, so that the others start quickly.
 */

/** Adds `carillon serve`: an instance in this process, until SIGTERM or SIGINT. */
export function declareServe(program: Command): void {
  program
    .command('serve')
    .description('Serve: the gRPC and HTTP ports, the scheduler and the deliveries')
    .option('--insecure', 'allow addresses that other machines reach, although callers need no credentials')
    .action(async (flags: { readonly insecure?: boolean }) => {
      const { serve } = await import('../serve.ts');
      await serve(flags);
    });
}

/** Adds `carillon migrate`: brings the database up to this version, and says which migrations that took. */
export function declareMigrate(program: Command): void {
  program
    .command('migrate')
    .description('Migrate the database of DATABASE_URL, or the embedded one; serve does it by itself')
    .action(async () => {
      try {
        await migrateConfigured(loadConfig());
      } catch (error) {
        process.stderr.write(`${failureText(error)}\n`);
        process.exitCode = error instanceof ConfigError ? 2 : 1;
      }
    });
}

async function migrateConfigured(config: Config): Promise<void> {
  const { migrate } = await import('../store/migrate.ts');
  const report = (applied: readonly string[]): void => {
    const lines = applied.length > 0 ? applied.map((name) => `applied ${name}`) : ['nothing to apply'];
    process.stdout.write(`${lines.join('\n')}\n`);
  };
  if (config.databaseUrl !== undefined) {
    report(await migrate(config.databaseUrl));
    return;
  }
  const { EmbeddedPostgres } = await import('../store/embedded-postgres/embedded-postgres.ts');
  const embedded = new EmbeddedPostgres({
    dataDir: config.dataDir,
    clock: systemClock,
    // What it has to tell beside failures is for operators of a service.
    logger: createLogger({ level: config.log.level === 'info' ? 'warn' : config.log.level }),
  });
  const stop = (): void => void embedded.stop();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await embedded.start();
    report(await migrate(embedded.url));
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await embedded.stop();
  }
}

/** The message with its causes; a connection refused on several addresses has its words in the parts. */
function failureText(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(failureText).join('; ');
  }
  if (!(error instanceof Error)) return plainText(String(error));
  const cause = error.cause === undefined ? '' : `: ${failureText(error.cause)}`;
  return `${plainText(error.message)}${cause}`;
}
