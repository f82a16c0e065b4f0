import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Database } from '../../src/store/database.ts';

/**
 * The database of a test as the product opens it, but for the limits of its sessions: tests hold locks and let others
 * wait for them, and what hangs is to meet a limit, not a process that did not get the processor for two seconds.
 */
export const openDatabase = (url: string, poolSize: number): Database =>
  new Database({
    url,
    poolSize,
    clock: systemClock,
    logger: silentLogger,
    connectTimeoutMs: 50_000,
    idleInTransactionMs: 50_000,
    lockTimeoutMs: 50_000,
    statementTimeoutMs: 50_000,
  });
