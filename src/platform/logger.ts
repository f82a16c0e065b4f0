import { type DestinationStream, pino } from 'pino';

/** Fields first, then a lower-case fact. */
type Write = (fields: Readonly<Record<string, unknown>>, message: string) => void;

/** The log of the process: structured, one JSON object a line. An error goes under the field `error`. */
export type Logger = {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  /** A logger that adds these fields to every line. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
};

export type LoggerOptions = {
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** Where the lines go. Default: standard error, so that standard output stays for results. */
  readonly destination?: DestinationStream;
};

export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: undefined,
      errorKey: 'error',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: serializeError },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** An error for the log. The database driver hangs its whole connection, secrets included, on its errors: left out. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { client: _, ...shown } = pino.stdSerializers.errWithCause(error) as Record<string, unknown>;
  return shown;
}

/** Keeps nothing; for tests and for parts that are used without a log. */
export const silentLogger: Logger = createLogger({ level: 'silent' });
