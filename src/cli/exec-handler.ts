/**
 * Runs a shell command for each attempt.
 *
 *     told       by its environment and standard input (exec-environment.ts);
 *                nothing of it becomes part of the command line
 *     log        standard output as INFO, standard error as WARN, line by line;
 *                a command that writes faster than Carillon takes it waits
 *     result     {"exit_code": 0}, or with `jsonResult` the last line of
 *                standard output that is a JSON object
 *     exit code  0 is success; 64, 65, 77 and 78 (wrong usage, wrong data, no
 *                permission, wrong configuration), 126 and 127 (cannot be run,
 *                not found) are failures that another attempt would not mend;
 *                any other, 75 (try again later) among them, and the end by a
 *                signal are failures that may be retried
 *     cancel     SIGTERM to the command and all that it started, SIGKILL ten
 *                seconds later
 *
 * A command has a session of its own, so that Ctrl-C in the worker's terminal
 * reaches the worker only, which then lets commands finish. What a command
 * leaves running behind itself is not waited for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { type Clock, systemClock } from '../platform/clock.ts';
import { type AttemptContext, type Handler, PermanentError, type WriteLine } from '../worker/index.ts';
import { execEnvironment, execInput } from './exec-environment.ts';
import { LineSplitter } from './line-splitter.ts';

/** How commands are run. */
export type ExecOptions = {
  readonly command: string;
  /** The program that is called with `-c` and the command. */
  readonly shell: string;
  readonly jsonResult: boolean;
};

/** How long a command may take from SIGTERM to its end, in milliseconds. */
const killAfterMs = 10_000;

/** How long output that others hold open is waited for behind the end of the command, from its last bytes on. */
const quietMs = 1_000;

const permanentExitCodes: ReadonlySet<number> = new Set([64, 65, 77, 78, 126, 127]);

/** Commands that run, as a handler and a way to end them all. */
export class ExecHandler {
  readonly #options: ExecOptions;
  readonly #clock: Clock;
  readonly #running = new Set<ChildProcess>();

  constructor(options: ExecOptions, clock: Clock = systemClock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Runs the command for one attempt. */
  readonly handle: Handler = async (context) => {
    const { command, shell } = this.#options;
    const { variables, leftOut } = execEnvironment(context);
    if (leftOut.length > 0) context.log.warn(`too large for the environment: ${leftOut.join(', ')}`);
    const child = spawn(shell, ['-c', command], { env: { ...variables }, detached: true });
    try {
      await once(child, 'spawn');
    } catch (error) {
      throw new PermanentError(`${shell} cannot be run: ${(error as Error).message}`);
    }
    this.#running.add(child);
    const stopKilling = this.#killWhenAborted(child, context.signal);
    try {
      return await this.#attend(child, context);
    } finally {
      stopKilling();
      this.#running.delete(child);
    }
  };

  /** Ends all commands at once. */
  killAll(): void {
    for (const child of this.#running) signalGroup(child, 'SIGKILL');
  }

  async #attend(child: ChildProcess, context: AttemptContext): Promise<object> {
    const { log } = context;
    let lastObject: object | undefined;
    let bytes = 0;
    const read = async (stream: Readable, write: WriteLine): Promise<void> => {
      const lines = new LineSplitter(write);
      for await (const chunk of stream) {
        bytes += (chunk as Buffer).length;
        lines.push(chunk as Buffer);
        await log.ready();
      }
      lines.end();
    };
    const onOutput: WriteLine = (line) => {
      if (this.#options.jsonResult) lastObject = objectFrom(line) ?? lastObject;
      log.info(line);
    };
    const exited = once(child, 'exit');
    // A command that does not read its input is fine.
    child.stdin?.on('error', () => undefined).end(execInput(context));
    // Destroying a stream that somebody holds open ends its reading with an error.
    const readings = [read(child.stdout!, onOutput), read(child.stderr!, log.warn)];
    const allRead = Promise.all(readings.map((reading) => reading.catch(() => undefined)));

    const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
    let isRead = false;
    void allRead.then(() => {
      isRead = true;
    });
    for (let before = -1; !isRead && bytes !== before; ) {
      before = bytes;
      await Promise.race([allRead, this.#clock.sleep(quietMs)]);
    }
    child.stdout?.destroy();
    child.stderr?.destroy();
    await allRead;
    if (code === 0) return lastObject ?? { exit_code: 0 };
    const why =
      signal === null ? `the command exited with code ${code}` : `the command was ended by ${signal}`;
    // A command that was asked to stop has stopped because of that.
    if (context.signal.aborted) throw new Error(`${(context.signal.reason as Error).message} (${why})`);
    throw code !== null && permanentExitCodes.has(code) ? new PermanentError(why) : new Error(why);
  }

  #killWhenAborted(child: ChildProcess, signal: AbortSignal): () => void {
    let callOff = (): void => undefined;
    const onAbort = (): void => {
      signalGroup(child, 'SIGTERM');
      callOff = this.#clock.setTimer(killAfterMs, () => signalGroup(child, 'SIGKILL'));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    return () => {
      callOff();
      signal.removeEventListener('abort', onAbort);
    };
  }
}

/** Sends a signal to a command and all that it started. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It is gone.
  }
}

function objectFrom(line: string): object | undefined {
  if (!line.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as object;
  } catch {
    return undefined;
  }
}
