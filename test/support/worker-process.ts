/**
 * Workers as processes of their own, the way users run them, so that a test can
 * kill, stop and continue them as the kernel would. What their handlers do is
 * told over IPC and kept here, where it outlives the process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { awaitThat } from './await-that.ts';

/** What a worker process is started with. */
export type WorkerProcessOptions = {
  readonly address: string | readonly string[];
  readonly queue: string;
  readonly workerId: string;
  readonly capacity: number;
  /** How long its handlers take. Default: until `release`. */
  readonly takesMs?: number;
};

/** One call of a handler. */
export type HandlerCall = {
  readonly executionId: number;
  readonly attempt: number;
  /** The idempotency key. */
  readonly key: string;
};

/** What the process tells. */
export type WorkerReport =
  | { readonly kind: 'welcomed' }
  | { readonly kind: 'called'; readonly call: HandlerCall }
  | { readonly kind: 'aborted' | 'ended'; readonly executionId: number; readonly attempt: number };

/** What the process is told. */
export type WorkerCommand = 'release' | 'stop';

const mainPath = join(import.meta.dirname, 'worker-process-main.ts');

/** How long a process may take to be welcomed; two cores may be shared with others. */
const startLimitMs = 40_000;

/** A running worker. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  /** The calls of its handler, in their order. */
  readonly calls: HandlerCall[] = [];
  /** Attempts whose signals have aborted, as `execution/attempt`. */
  readonly aborted: string[] = [];
  /** How many handlers have ended. */
  endedCount = 0;
  /** Settles when the process is gone. */
  readonly ended: Promise<void>;
  #isWelcome = false;

  private constructor(options: WorkerProcessOptions) {
    this.#child = fork(mainPath, [JSON.stringify(options)], {
      execArgv: [],
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.on('message', (report: WorkerReport) => this.#receive(report));
    // A command to a process that is gone by now.
    this.#child.on('error', () => undefined);
  }

  /** Starts a worker; resolves when an instance has welcomed it. */
  static async start(options: WorkerProcessOptions): Promise<WorkerProcess> {
    const worker = new WorkerProcess(options);
    await awaitThat(`${options.workerId} is welcome`, () => worker.#isWelcome, startLimitMs).catch(
      (error: unknown) => {
        worker.kill('SIGKILL');
        throw error;
      },
    );
    return worker;
  }

  /** Waits until its handler has been called so many times. */
  awaitCalls(count: number, limitMs?: number): Promise<unknown> {
    return awaitThat(`${count} calls of a handler`, () => this.calls.length >= count, limitMs);
  }

  /** Lets every handler end that is held, and those to come. A process that is stopped learns of it when it goes on. */
  release(): void {
    if (this.#child.connected) this.#child.send('release' satisfies WorkerCommand);
  }

  /** Asks it to leave in order and waits until it has. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.send('stop' satisfies WorkerCommand);
    await this.ended;
  }

  /** Sends a signal; false when the process is gone. */
  kill(signal: NodeJS.Signals): boolean {
    return this.#child.kill(signal);
  }

  #receive(report: WorkerReport): void {
    switch (report.kind) {
      case 'welcomed':
        this.#isWelcome = true;
        break;
      case 'called':
        this.calls.push(report.call);
        break;
      case 'aborted':
        this.aborted.push(`${report.executionId}/${report.attempt}`);
        break;
      case 'ended':
        this.endedCount++;
    }
  }
}

/** Starts worker processes for a test and ends them behind it. */
export function useWorkerProcesses(): (options: WorkerProcessOptions) => Promise<WorkerProcess> {
  const running: WorkerProcess[] = [];
  afterEach(async () => {
    const ended = running.splice(0);
    for (const worker of ended) worker.kill('SIGKILL');
    await Promise.all(ended.map((worker) => worker.ended));
  });
  return async (options) => {
    const worker = await WorkerProcess.start(options);
    running.push(worker);
    return worker;
  };
}
