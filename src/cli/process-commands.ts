import type { Command } from 'commander';
import { loadConfig } from '../config/load-config.ts';
import { ConfigError } from '../config/option-reader.ts';
import { failureText, withConfiguredDatabase } from './configured-database.ts';

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
        const { migrate } = await import('../store/migrate.ts');
        const applied = await withConfiguredDatabase(loadConfig(), (url) => migrate(url));
        const lines = applied.length > 0 ? applied.map((name) => `applied ${name}`) : ['nothing to apply'];
        process.stdout.write(`${lines.join('\n')}\n`);
      } catch (error) {
        process.stderr.write(`${failureText(error)}\n`);
        process.exitCode = error instanceof ConfigError ? 2 : 1;
      }
    });
}
