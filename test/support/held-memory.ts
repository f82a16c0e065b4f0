/**
 * What an instance holds in memory, which its size does not tell: between two
 * full collections V8 lets garbage lie, up to three times of what is held, and
 * the allocator keeps what was freed. The inspector has the garbage collected
 * and asks for what is left.
 */
import { readFile } from 'node:fs/promises';
import { awaitThat } from './await-that.ts';
import type { InstanceProcess } from './instance-process.ts';

/** The flag of Node with which an instance lets itself be weighed: the inspector, on a free port of loopback. */
export const inspectorFlag = '--inspect=127.0.0.1:0';

type Reply = {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
};

type Waiting = { resolve(result: unknown): void; reject(error: Error): void };

/** Weighs one instance, which was started with `inspectorFlag`. */
export class HeldMemory {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(String(data)) as Reply));
    socket.addEventListener('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the instance is gone'));
      this.#waiting.clear();
    });
  }

  static async of(instance: InstanceProcess): Promise<HeldMemory> {
    const url = await awaitThat('the inspector listens', () => /ws:\S+/.exec(instance.log)?.[0]);
    const socket = new WebSocket(url);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve());
      socket.addEventListener('error', () => reject(new Error(`cannot connect to the inspector at ${url}`)));
    });
    return new HeldMemory(socket);
  }

  /** Collects all garbage. Returns what is left of the heap and of the buffers outside it, in MiB. */
  async weigh(): Promise<number> {
    // What the first one has let go of may hold buffers, which go with the second.
    await this.#ask('HeapProfiler.collectGarbage');
    await this.#ask('HeapProfiler.collectGarbage');
    const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
    const { result } = (await this.#ask('Runtime.evaluate', { expression })) as {
      readonly result: { readonly value: number };
    };
    return result.value / 1_024 / 1_024;
  }

  close(): void {
    this.#socket.close();
  }

  #ask(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject: (error) => reject(new Error(`${method}: ${error.message}`)) });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  #take({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(error.message));
    else waiting?.resolve(result);
  }
}

/** How large a process is in memory, in MiB. Linux only. */
export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024;
}
