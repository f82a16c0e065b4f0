/** A Carillon of the benchmark's own, started the way operators do it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const mainPath = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

/** A running `carillon serve` in a process of its own. */
export class CarillonProcess {
  readonly #child: ChildProcess;
  readonly #log: () => string;
  /** Where native gRPC listens. */
  readonly grpc: string;
  /** The token of an administrator, where this start has made the first one. */
  readonly firstToken: string;

  private constructor(
    child: ChildProcess,
    log: () => string,
    banner: { readonly grpc: string; readonly firstToken: string },
  ) {
    this.#child = child;
    this.#log = log;
    this.grpc = banner.grpc;
    this.firstToken = banner.firstToken;
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid!;
  }

  /**
   * Starts one on a database; resolves when it is up. `BENCH_NODE_FLAGS` reaches node, for example --cpu-prof. With
   * `watchesLoop` it tells how late its event loop is.
   */
  static async start(
    databaseUrl: string,
    env: Readonly<Record<string, string>> = {},
    { watchesLoop = false }: { readonly watchesLoop?: boolean } = {},
  ): Promise<CarillonProcess> {
    const flags = (process.env.BENCH_NODE_FLAGS ?? '').split(' ').filter((flag) => flag !== '');
    if (watchesLoop) flags.push('--import', join(import.meta.dirname, 'loop-delay.ts'));
    const child = spawn(process.execPath, [...flags, mainPath, 'serve'], {
      stdio: ['ignore', 'pipe', 'pipe', ...(watchesLoop ? (['ipc'] as const) : [])],
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: databaseUrl,
        CARILLON_GRPC_ADDRESS: '127.0.0.1:0',
        CARILLON_HTTP_ADDRESS: '127.0.0.1:0',
        CARILLON_EGRESS_ALLOW: '127.0.0.0/8,::1',
        CARILLON_LOG_LEVEL: 'warn',
        ...env,
      },
    });
    let stdout = '';
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const grpc = await new Promise<string>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`carillon did not start:\n${stderr}`)));
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        const address = /gRPC\s+(\S+)/.exec(stdout)?.[1];
        if (address && stdout.includes('database')) resolve(address);
      });
    });
    // It is printed in one write with the rest.
    const firstToken = /token +(carillon_\S+)/.exec(stdout)?.[1] ?? '';
    return new CarillonProcess(child, () => stderr, { grpc, firstToken });
  }

  /** How late its event loop has been since the last call, in milliseconds; for one that is started with `watchesLoop`. */
  async takeLoopDelay(): Promise<{ readonly max: number; readonly p99: number }> {
    const told = once(this.#child, 'message');
    this.#child.send('take');
    return (await told)[0] as { readonly max: number; readonly p99: number };
  }

  /** Stops it in order; prints what it complained about. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    if (this.#log() !== '') process.stderr.write(`carillon logged:\n${this.#log().slice(0, 4_000)}\n`);
  }
}
