/** Rounds of fuzzing against one instance: behind each of them it answers and has not complained; now and then it is weighed. */
import { HeldMemory, residentMiB } from '../support/held-memory.ts';
import type { InstanceProcess } from '../support/instance-process.ts';
import { Fuzzer } from './fuzzer.ts';
import type { MemoryCourse } from './memory.ts';

/** How many actions run at once, and in a round. */
const atOnce = 8;
const actionsInRound = 120;

/** What a run was made with, and how it is told. */
export type RoundsOptions = {
  /** Started with `inspectorFlag`. */
  readonly instance: InstanceProcess;
  readonly seed: number;
  /** The number of the first action. Default 0. */
  readonly from?: number;
  /** Asked before each round, which are counted from 0. */
  goesOn(round: number): boolean;
  /** Asked behind each round: whether the instance is to be weighed, which it is behind the last one in any case. */
  isWeighed(round: number): boolean;
  say?(text: string): void;
};

/** What came of it. */
export type Rounds = {
  /** What was not right, each with the number of the action. */
  readonly faults: readonly string[];
  readonly actions: number;
  readonly answers: ReadonlyMap<string, number>;
  readonly memory: MemoryCourse;
};

/** Runs rounds until `goesOn` says no, or one has found a fault. */
export async function runRounds(options: RoundsOptions): Promise<Rounds> {
  const { instance, seed, from = 0, goesOn, isWeighed, say } = options;
  const http = instance.http.replace('http://', '');
  const fuzzer = new Fuzzer({ grpc: instance.grpc, http, seed });
  const faults: string[] = [];
  const held: number[] = [];
  const resident: number[] = [];
  const memory = await HeldMemory.of(instance);
  let next = from;
  try {
    let isOn = goesOn(0);
    for (let round = 0; isOn; round++) {
      const end = next + actionsInRound;
      const act = async (): Promise<void> => {
        while (next < end) {
          const fault = await fuzzer.act(next++);
          if (fault !== undefined) faults.push(fault);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, act));
      faults.push(...(await faultsOf(instance)));
      if (faults.length > 0) break;
      resident.push(await residentMiB(instance.pid));
      say?.(`round ${round}: ${next - from} actions, ${resident.at(-1)?.toFixed(0)} MiB`);
      isOn = goesOn(round + 1);
      if (isOn && !isWeighed(round)) continue;
      held.push(await memory.weigh());
      say?.(`holds ${held.at(-1)?.toFixed(1)} MiB`);
    }
  } finally {
    memory.close();
    fuzzer.close();
  }
  const { answers } = fuzzer;
  return { faults, actions: next - from, answers, memory: { held, resident } };
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
