import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { App } from './app.ts';
import type { Config } from './config/config.ts';
import { loadConfig } from './config/load-config.ts';
import { ConfigError } from './config/option-reader.ts';
import { systemClock } from './platform/clock.ts';
import { createLogger } from './platform/logger.ts';

/** The version of this package. */
export const version: string = (
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string }
).version;

/**
 * Serves until SIGTERM or SIGINT, then drains and ends the process with 0. A
 * second signal ends it at once with 1, and so does a drain that takes longer
 * than its deadline. A start that fails says why in one line and ends with 1.
 */
export async function serve(flags: { readonly insecure?: boolean }): Promise<void> {
  let config: Config;
  try {
    config = loadConfig(flags);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  const logger = createLogger({ level: config.log.level });
  const app = new App({ config, clock: systemClock, logger, version });
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (++signals > 1) process.exit(1);
    logger.info({ signal }, 'stopping');
    // Attempts have their grace time, the servers theirs; behind both something hangs.
    const limitMs = config.engine.shutdownGraceMs + 20_000;
    systemClock.setTimer(limitMs, () => {
      logger.error({ limitMs }, 'did not stop in time');
      process.exit(1);
    });
    void app.stop().then(() => {
      logger.info({}, 'stopped');
      process.exit(0);
    });
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Nobody reads the output any more (a closed pipe): the service goes on.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  const fatal = (error: unknown): void => {
    // What is in an unknown state must not go on half-dead.
    logger.error({ error }, 'unexpected error, exiting');
    process.exit(70);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  try {
    await app.start();
  } catch (error) {
    if (signals > 0) return;
    logger.debug({ error }, 'start failed');
    process.stderr.write(
      `carillon could not start: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    await app.stop();
    process.exit(1);
  }
  process.stdout.write(banner(app, config));
}

function banner(app: App, config: Config): string {
  const { grpc, http, embeddedDatabase } = app.addresses;
  const database = embeddedDatabase
    ? `embedded Postgres, data in ${config.dataDir}`
    : 'Postgres of DATABASE_URL';
  const lines = [`carillon ${version} is up`];
  const hasTls = config.tls.certFile !== undefined;
  const scheme = hasTls ? 'https' : 'http';
  // Without reflection grpcurl lists nothing.
  const hint = config.reflection
    ? `grpcurl ${hasTls ? '-cacert <authority>' : '-plaintext'} ${grpc} list`
    : '';
  if (grpc && hasTls) lines.push(`  gRPC      https://${grpc}    ${hint}`.trimEnd());
  else if (grpc) lines.push(`  gRPC      ${grpc}          ${hint}`.trimEnd());
  if (http) lines.push(`  HTTP      ${scheme}://${http}    Connect, gRPC-Web, JSON; /healthz /readyz`);
  if (http && config.gateways.length > 0) lines.push(`  gateways  ${config.gateways.join(', ')}`);
  lines.push(`  database  ${database}`);
  if (app.firstToken !== undefined) {
    lines.push(
      `  token     ${app.firstToken}`,
      '            of an administrator; it is shown this once: keep it',
    );
  }
  return `${lines.join('\n')}\n`;
}
