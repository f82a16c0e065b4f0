/** Rounds of fuzzing against one instance: behind each of them it answers, has not complained, and holds no more memory. */
import { readFile } from 'node:fs/promises';
import type { InstanceProcess } from '../support/instance-process.ts';
import { Fuzzer } from './fuzzer.ts';

/** How many actions run at once, and in a round. */
const atOnce = 8;
const actionsInRound = 120;

/** What a run was made with, and how it is told. */
export type RoundsOptions = {
  readonly instance: InstanceProcess;
  readonly seed: number;
  /** The number of the first action. Default 0. */
  readonly from?: number;
  /** Asked before each round, which are counted from 0. */
  goesOn(round: number): boolean;
  say?(text: string): void;
};

/** What came of it. */
export type Rounds = {
  /** What was not right, each with the number of the action. */
  readonly faults: readonly string[];
  readonly actions: number;
  readonly answers: ReadonlyMap<string, number>;
  /**
   * What the instance held behind the first round, and the least that it held behind any of the second half, in MiB:
   * between two large collections it grows for a minute, a leak for ever.
   */
  readonly memoryMiB: { readonly first: number; readonly later: number };
};

/** Runs rounds until `goesOn` says no, or one has found a fault. */
export async function runRounds({ instance, seed, from = 0, goesOn, say }: RoundsOptions): Promise<Rounds> {
  const http = instance.http.replace('http://', '');
  const fuzzer = new Fuzzer({ grpc: instance.grpc, http, seed });
  const faults: string[] = [];
  const memory: number[] = [];
  let next = from;
  try {
    for (let round = 0; goesOn(round) && faults.length === 0; round++) {
      const end = next + actionsInRound;
      const act = async (): Promise<void> => {
        while (next < end) {
          const fault = await fuzzer.act(next++);
          if (fault !== undefined) faults.push(fault);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, act));
      faults.push(...(await faultsOf(instance)));
      memory.push(await residentMiB(instance.pid));
      say?.(`round ${round}: ${next - from} actions, ${memory.at(-1)?.toFixed(0)} MiB`);
    }
  } finally {
    fuzzer.close();
  }
  const { answers } = fuzzer;
  return {
    faults,
    actions: next - from,
    answers,
    memoryMiB: { first: memory[0] ?? 0, later: Math.min(...memory.slice(Math.floor(memory.length / 2))) },
  };
}

async function faultsOf(instance: InstanceProcess): Promise<readonly string[]> {
  const faults: string[] = [];
  const ready = await fetch(`${instance.http}/readyz`).then(
    ({ status }) => (status === 200 ? undefined : `/readyz says ${status}`),
    (error: Error) => `/readyz does not answer: ${error.message}`,
  );
  if (ready !== undefined) faults.push(ready);
  await instance.jobs.list({ pageSize: 1 }).catch((error: Error) => faults.push(`List: ${error.message}`));
  for (const line of instance.log.split('\n')) {
    if (line.includes('"level":"error"')) faults.push(`log: ${line.slice(0, 2_000)}`);
  }
  return faults;
}

/** What a process holds in memory. Linux only. */
async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024;
}
