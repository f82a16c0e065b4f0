import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/option-reader.ts';
import { systemClock } from '../platform/clock.ts';
import { createLogger } from '../platform/logger.ts';
import { plainText } from './plain-text.ts';

/** Does something with the database of the configuration; the embedded one runs as long as that takes. */
export async function withConfiguredDatabase<T>(
  config: Config,
  use: (url: string) => Promise<T>,
): Promise<T> {
  if (config.databaseUrl !== undefined) return use(config.databaseUrl);
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
    return await use(embedded.url);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await embedded.stop();
  }
}

/** The message with its causes; a connection refused on several addresses has its words in the parts. */
export function failureText(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(failureText).join('; ');
  }
  if (!(error instanceof Error)) return plainText(String(error));
  const cause = error.cause === undefined ? '' : `: ${failureText(error.cause)}`;
  return `${plainText(error.message)}${cause}`;
}
