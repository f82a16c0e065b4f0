import { readFile, writeFile } from 'node:fs/promises';

const mib = 1_024 * 1_024;

/**
 * Watches how much memory another process takes at the most: the kernel's own
 * peak of its resident set, in MiB over what it has now. Linux only.
 */
export async function watchPeakMiB(pid: number): Promise<() => Promise<number>> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
  const before = await readPeak(pid);
  return async () => (await readPeak(pid)) - before;
}

async function readPeak(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return (Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1_024) / mib;
}
