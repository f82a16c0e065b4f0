import { readFile } from 'node:fs/promises';

/** Whether a process runs. One that has ended does not, though nobody may have asked for its exit code yet. */
export async function isAlive(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
}
