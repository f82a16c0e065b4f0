/** A peer's worker in a process of its own, which is told what to drain and says when it was done. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type pg from 'pg';

/** What waits where. */
export type DrainOrder = { readonly url: string; readonly jobs: number };

/** How often handlers were called, from before the first job was fetched until the last end was committed. */
export type Drained = { readonly handled: number; readonly tookMs: number };

/** Runs a module as a process with this order; resolves when it has drained everything and is gone. */
export async function drainIn(
  path: string,
  order: DrainOrder,
  env: Readonly<Record<string, string>> = {},
): Promise<Drained> {
  const child = fork(path, ['drain'], { env: { ...process.env, ...env } });
  const exited = once(child, 'exit');
  const answered = once(child, 'message');
  child.send(order);
  const [drained] = await Promise.race([answered, exited]);
  if (typeof drained !== 'object' || drained === null) throw new Error('a peer failed, see above');
  await exited;
  return drained as Drained;
}

/** In the module that `drainIn` runs: takes the order, carries it out, answers and ends the process. */
export async function serveDrain(drain: (order: DrainOrder) => Promise<Drained>): Promise<void> {
  const [order] = (await once(process, 'message')) as [DrainOrder];
  const drained = await drain(order);
  process.send?.(drained, () => process.exit(0));
}

/** Does before the clock runs what autovacuum and the checkpointer would do in the middle: rows were just loaded. */
export async function settleLoaded(client: pg.Client): Promise<void> {
  await client.query('vacuum analyze');
  await client.query('checkpoint');
}
