/**
 * A process that owns an embedded Postgres, to be killed by tests:
 * `node postgres-owner.ts <dataDir> [searchPath]`. Writes one JSON line, `{ url }`
 * or `{ error }`, and stops in order on SIGTERM.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemClock } from '../../src/platform/clock.ts';
import { createLogger } from '../../src/platform/logger.ts';
import { EmbeddedPostgres } from '../../src/store/embedded-postgres/embedded-postgres.ts';

/** What an owner says once it has started or failed. */
export type OwnerReport = { readonly url?: string; readonly error?: string };

/** An owner that runs. */
export type Owner = {
  readonly process: ChildProcess;
  /** Resolves with what it says, or with nothing when it ended before. */
  readonly report: Promise<OwnerReport>;
  /** Sends a signal and resolves when the process has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
};

/** Starts an owner in a process of its own. */
export function spawnOwner(dataDir: string, searchPath?: string): Owner {
  const args = [import.meta.filename, dataDir, ...(searchPath ? [searchPath] : [])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const report = new Promise<OwnerReport>((resolve) => {
    createInterface(child.stdout).once('line', (line) => resolve(JSON.parse(line)));
    child.once('close', () => resolve({}));
  });
  return {
    process: child,
    report,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

async function main(dataDir: string, searchPath: string | undefined): Promise<void> {
  const postgres = new EmbeddedPostgres({
    dataDir,
    searchPath,
    clock: systemClock,
    logger: createLogger({ level: 'silent' }),
  });
  process.once('SIGTERM', () => void postgres.stop());
  const report: OwnerReport = await postgres.start().then(
    () => ({ url: postgres.url }),
    (error: Error) => ({ error: error.message }),
  );
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

if (import.meta.main) await main(process.argv[2] as string, process.argv[3]);
