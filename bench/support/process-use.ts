/** What processes use of the machine, as Linux counts it. */
import { readFile } from 'node:fs/promises';

/** /proc counts CPU time in hundredths of a second. */
const tickMs = 10;

/** The CPU time that a process has used so far, in milliseconds; undefined when it is gone. */
export async function readCpuMs(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field is the name in parentheses, which may hold blanks; utime and stime are the 14th and 15th.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields && (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** The memory of a process that is in RAM, in bytes. */
export async function readRss(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1_024;
}
