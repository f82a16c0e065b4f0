/**
 * Wake-ups between instances by NOTIFY.
 *
 * A notification says only "look again": whoever is woken reads the tables, and
 * everything is also found by the slow safety interval, so a lost one costs
 * time and nothing else. Notifications are sent after the commit of the change
 * that they speak of, by a statement of their own: NOTIFY inside a transaction
 * makes all committing transactions of the database queue up behind one lock.
 * Those of one moment are sent together, and one statement is under way at a
 * time. An instance hears its own wake-ups in process, at once.
 *
 * Listening needs a session of its own. When that breaks it is made again with
 * growing waits, and then every listener is called once, because nobody knows
 * what was missed.
 */
import type pg from 'pg';
import { backoffMs } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Service } from '../platform/service.ts';
import type { Database } from './database.ts';

/** What may have changed: timers, waiting executions, when the next retry is due, the feed, wishes to cancel, tokens. */
export const topics = ['timers', 'pending', 'retry', 'feed', 'cancel', 'tokens'] as const;

export type Topic = (typeof topics)[number];

const channel = 'carillon';

export class Notifier implements Service {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Tells this process's own notifications from others'. */
  readonly #origin: string;
  readonly #listeners = new Map<Topic, Set<() => void>>(topics.map((topic) => [topic, new Set()]));
  readonly #stopping = new AbortController();
  #session: pg.Client | undefined;
  #running: Promise<void> | undefined;
  #outgoing = new Set<Topic>();
  #sending: Promise<void> | undefined;

  constructor(options: { database: Database; clock: Clock; logger: Logger; origin: string }) {
    this.#database = options.database;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#origin = options.origin;
  }

  /** Calls back whenever a topic may have changed, here or elsewhere. Returns how to stop. */
  on(topic: Topic, listener: () => void): () => void {
    const listeners = this.#listeners.get(topic)!;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Tells this instance at once and the others soon that a topic has changed. Call after the commit. */
  notify(topic: Topic): void {
    this.#call(topic);
    this.#outgoing.add(topic);
    this.#sending ??= this.#send();
  }

  async start(): Promise<void> {
    await this.#connect();
    this.#running = this.#keepConnected();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#sending;
    await this.#session?.end().catch((error: unknown) => {
      this.#logger.debug({ error }, 'listening session did not end cleanly');
    });
    await this.#running;
  }

  #call(topic: Topic): void {
    for (const listener of this.#listeners.get(topic)!) listener();
  }

  async #send(): Promise<void> {
    // What else changes in this turn of the event loop goes along.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#outgoing.size > 0) {
      const payload = `${this.#origin} ${[...this.#outgoing].join(' ')}`;
      this.#outgoing.clear();
      try {
        await this.#database.notify(channel, payload);
      } catch (error) {
        // The others find out by their safety interval.
        this.#logger.debug({ error }, 'notification not sent');
        break;
      }
    }
    this.#sending = undefined;
  }

  async #connect(): Promise<void> {
    const session = await this.#database.connect('carillon listen');
    session.on('error', (error) => this.#logger.debug({ error }, 'listening session broke'));
    session.on('notification', ({ payload = '' }) => {
      const [origin, ...changed] = payload.split(' ');
      if (origin === this.#origin) return;
      for (const topic of topics) if (changed.includes(topic)) this.#call(topic);
    });
    try {
      await session.query(`listen ${channel}`);
    } catch (error) {
      await session.end().catch(() => undefined);
      throw error;
    }
    this.#session = session;
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const session = this.#session!;
      await new Promise<void>((resolve) => session.once('end', () => resolve()));
      for (let n = 1; !signal.aborted; n++) {
        await this.#clock.sleep(backoffMs({ initialMs: 50, maxMs: 1_000, multiplier: 2 }, n, 0.5), signal);
        if (signal.aborted) return;
        try {
          await this.#connect();
          this.#logger.info({}, 'listening for notifications again');
          for (const topic of topics) this.#call(topic);
          break;
        } catch (error) {
          if (n === 1) this.#logger.warn({ error }, 'no session to listen for notifications, trying again');
        }
      }
    }
  }
}
