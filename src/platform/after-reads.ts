/**
 * Calls back once what has come over sockets by now has been read, also in a
 * process that had no time for a while: timers have their turn before sockets,
 * and two passes of the event loop lie between. Returns how to call it off.
 */
export function afterReads(callback: () => void): () => void {
  let next = setImmediate(() => {
    next = setImmediate(callback);
  });
  return () => clearImmediate(next);
}
