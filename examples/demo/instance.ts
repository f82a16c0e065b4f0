import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A Carillon of the demo's own, as a process with an empty database. */
export type Instance = {
  /** Where its gRPC port is, as host:port. */
  readonly grpc: string;
  /** Stops it in order, removes its data, and answers its exit code. */
  stop(): Promise<number | null>;
};

const mainPath = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

/**
 * Starts `carillon serve` on free ports with its data in a temporary folder;
 * resolves when it is up. When it cannot start, or the signal aborts first,
 * nothing stays behind. `carillon` is what starts the command line, by default
 * this checkout's.
 */
export async function startInstance(
  signal: AbortSignal,
  carillon: readonly string[] = [process.execPath, mainPath],
): Promise<Instance> {
  const [file = '', ...args] = carillon;
  const dataDir = await mkdtemp(join(tmpdir(), 'carillon-demo-'));
  const child = spawn(file, [...args, 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Ctrl-C at the terminal is the demo's to handle: it stops the instance in its turn.
    detached: true,
    env: {
      ...Object.fromEntries(
        Object.entries(process.env).filter(([name]) => !/^(CARILLON_|DATABASE_URL$)/.test(name)),
      ),
      CARILLON_DATA_DIR: dataDir,
      CARILLON_GRPC_ADDRESS: '127.0.0.1:0',
      CARILLON_HTTP_ADDRESS: '127.0.0.1:0',
      CARILLON_LOG_LEVEL: 'error',
    },
  });
  const exited = once(child, 'exit');
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    await exited;
    await rm(dataDir, { recursive: true, force: true });
    return child.exitCode;
  };
  // Should the demo die without having stopped it, it must not stay behind.
  process.once('exit', () => child.kill('SIGTERM'));
  try {
    return { grpc: await readAddress(child, signal), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The gRPC address in the banner of the instance. */
async function readAddress(child: ChildProcess, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: child.stdout!, signal });
  for await (const line of lines) {
    const address = /^\s*gRPC\s+(\S+)/.exec(line)?.[1];
    if (address === undefined) continue;
    // The rest is read and dropped, so that the pipe never fills.
    child.stdout!.resume();
    return address;
  }
  signal.throwIfAborted();
  throw new Error('carillon did not start');
}
