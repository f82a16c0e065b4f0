/** How many calls are under way at once; more would not make the service faster. */
export const callsInFlight = 16;

/**
 * Does something for each item, a constant number of them at once, and answers
 * in their order. Begins nothing more when `signal` aborts or one fails, waits
 * for what is under way, then rejects with the first failure.
 */
export async function mapInFlight<Item, Result>(
  items: readonly Item[],
  signal: AbortSignal,
  run: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && failures.length === 0) {
      const i = next++;
      try {
        signal.throwIfAborted();
        results[i] = await run(items[i]!);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: callsInFlight }, lane));
  if (failures.length > 0) throw failures[0];
  return results;
}
