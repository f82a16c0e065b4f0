/**
 * A part with a life of its own. `start` resolves when the part is running and
 * rejects when it cannot run; `stop` waits until it has stopped, is idempotent,
 * and works before `start` and during it.
 */
export type Service = {
  start(): Promise<void>;
  stop(): Promise<void>;
};
