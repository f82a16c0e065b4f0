import { DomainError } from '../domain/errors.ts';

const code = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';

/** Whether a transaction failed because it met another one and may simply be run again. */
export function isTransactionConflict(error: unknown): boolean {
  const sqlState = code(error);
  return sqlState === '40001' || sqlState === '40P01' || isIdCollision(error);
}

/** Whether a server-made id existed already, which a clock that goes back can bring about. */
function isIdCollision(error: unknown): boolean {
  if (code(error) !== '23505' || typeof error !== 'object' || error === null || !('constraint' in error))
    return false;
  return (
    error.constraint === 'audit_event_pkey' ||
    error.constraint === 'calendar_pkey' ||
    error.constraint === 'job_pkey' ||
    error.constraint === 'execution_pkey' ||
    error.constraint === 'instance_pkey'
  );
}

/** Whether a unique index refused a row, and which. */
export function violatedConstraint(error: unknown): string | undefined {
  if (code(error) !== '23505' || typeof error !== 'object' || error === null || !('constraint' in error))
    return undefined;
  return typeof error.constraint === 'string' ? error.constraint : undefined;
}

const transientStates = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '25P03', // idle_in_transaction_session_timeout
  '55P03', // lock_not_available
  '57014', // query_canceled: the statement timeout
  '55000', // object_not_in_prerequisite_state: "not accepting connections"
  '53100', // disk_full
  '53200', // out_of_memory
  '53300', // too_many_connections
  '25006', // read_only_sql_transaction: a standby that is not yet promoted
]);

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
]);

const driverMessages = [
  'Connection terminated',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Query read timeout',
  'Client has encountered a connection error',
  'Client was closed',
  'server closed the connection',
];

/** Whether the database is away, busy or stopping: the same call may work later. */
export function isTransient(error: unknown): boolean {
  const sqlState = code(error);
  if (transientStates.has(sqlState) || sqlState.startsWith('08') || networkCodes.has(sqlState)) return true;
  if (error instanceof AggregateError) return error.errors.some(isTransient);
  return error instanceof Error && driverMessages.some((message) => error.message.includes(message));
}

/**
 * What a failed command tells its caller: UNAVAILABLE while the database is
 * away (whether the change was made is then unknown; repeating with the same
 * request_id is safe), ABORTED when transactions met too often, and the error
 * itself otherwise.
 */
export function domainErrorFromDatabase(error: unknown): unknown {
  if (error instanceof DomainError) return error;
  if (isTransactionConflict(error)) {
    return new DomainError('CONCURRENT_CHANGE', 'another change came in between; try again', {
      retryAfterMs: 50,
      cause: error,
    });
  }
  if (isTransient(error)) {
    return new DomainError('UNAVAILABLE', 'the database cannot be reached at the moment', {
      retryAfterMs: 1_000,
      cause: error,
    });
  }
  return error;
}
