import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from '../platform/logger.ts';
import type { AttemptContext } from './attempt-context.ts';

/** What an attempt returns: an object that JSON can write, kept as the execution's result; or nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: an async function that returns nothing has this type.
export type HandlerResult = object | null | undefined | void;

/**
 * Runs one attempt. What it returns is the result of a success, what it throws
 * is a failure. It may be called again for the same execution: the idempotency
 * key tells.
 */
export type Handler = (context: AttemptContext) => HandlerResult | Promise<HandlerResult>;

/** Where a worker tells about itself: fields first, then a lower-case fact. The logger of pino fits. */
export type WorkerLogger = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** TLS towards Carillon. `true` trusts the public authorities. */
export type WorkerTls =
  | boolean
  | {
      /** Certificates in PEM to trust in place of the public authorities. */
      readonly ca?: string | Buffer;
      /** The name that the certificate must be for. Default: the host of the address. */
      readonly serverName?: string;
      /** The worker's own certificate chain in PEM; needs `key`. */
      readonly cert?: string | Buffer;
      /** Its private key in PEM. */
      readonly key?: string | Buffer;
    };

/** What a worker is made from. */
export type WorkerOptions = {
  /** The gRPC port of an instance, `host:port`, or of several: the next one is tried when one does not serve. */
  readonly address: string | readonly string[];
  /** The queue it serves. Either this or `queues`. */
  readonly queue?: string;
  /** The queues it serves, 1 to 100. */
  readonly queues?: readonly string[];
  /** Labels that jobs and placements can ask for. Default: none. */
  readonly labels?: Readonly<Record<string, string>>;
  /**
   * How many attempts it runs at once, 1 to 100,000. Default: 10. For handlers
   * that wait for others a few hundred are fine; for handlers that compute, no
   * more than the machine has cores.
   */
  readonly capacity?: number;
  /** Runs an attempt. */
  readonly handler: Handler;
  /** The namespace whose jobs it runs. Default: "default". */
  readonly namespace?: string;
  /** Its name within the namespace, which no two processes share. Default: host name, process id and a random part. */
  readonly workerId?: string;
  /** The version of the user's program, for `carillon worker list`. */
  readonly version?: string;
  /** TLS towards Carillon. Default: none. */
  readonly tls?: WorkerTls;
  /**
   * What proves who it is, where Carillon wants to know: an API token or a JWT, or a function that returns the present
   * one, which is called for each connection. Default: none.
   */
  readonly token?: string | (() => string);
  /** Where it tells about itself. Default: nowhere. */
  readonly logger?: WorkerLogger;
  /**
   * How long `stop` lets handlers go on before it aborts their signals, in
   * milliseconds. Default: 30,000. Give the process longer than this, and ten
   * seconds more, before it is killed.
   */
  readonly graceMs?: number;
};

/** The options with every default filled in. */
export type WorkerSettings = {
  readonly addresses: readonly string[];
  readonly queues: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: number;
  readonly handler: Handler;
  readonly namespace: string;
  readonly workerId: string;
  readonly version: string;
  readonly tls: WorkerTls;
  readonly token: () => string | undefined;
  readonly logger: WorkerLogger;
  readonly graceMs: number;
};

const noLogger: WorkerLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * Fills in the defaults.
 *
 * @throws TypeError that names the option that cannot be used. Names and
 * labels are judged by Carillon, whose answer `start` rejects with.
 */
export function settingsFrom(options: WorkerOptions): WorkerSettings {
  const addresses = typeof options.address === 'string' ? [options.address] : [...options.address];
  const queues = [...(options.queue === undefined ? [] : [options.queue]), ...(options.queues ?? [])];
  const { capacity = 10, graceMs = 30_000, token } = options;
  for (const address of addresses) {
    if (!/^(\[[0-9a-fA-F:.%]+\]|[^\s:[\]]+):\d{1,5}$/.test(address)) {
      throw new TypeError(`address: "${address}" is not of the form host:port`);
    }
  }
  if (addresses.length === 0) throw new TypeError('address: at least one is needed');
  if (queues.length === 0) throw new TypeError('queue: a worker serves at least one queue');
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > 100_000) {
    throw new TypeError(`capacity: ${capacity} is not a whole number from 1 to 100,000`);
  }
  if (!(graceMs >= 0)) throw new TypeError(`graceMs: ${graceMs} is not a span in milliseconds, 0 or more`);
  if (typeof options.handler !== 'function') throw new TypeError('handler: a function is needed');
  return {
    addresses,
    queues,
    labels: options.labels ?? {},
    capacity,
    handler: options.handler,
    namespace: options.namespace ?? 'default',
    workerId: options.workerId ?? `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`,
    version: options.version ?? '',
    tls: options.tls ?? false,
    token: typeof token === 'function' ? token : () => token,
    logger: options.logger ?? noLogger,
    graceMs,
  };
}
