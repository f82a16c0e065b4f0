const mib = 1_024 * 1_024;

/**
 * The settings of the embedded Postgres: durable, and fitted to many small
 * commits and big batches on a machine that it shares with Carillon.
 *
 * They are written to carillon.conf at each start. What an operator sets with
 * ALTER SYSTEM, or in postgresql.conf below the line that includes
 * carillon.conf, wins.
 */
export function serverSettings(memoryBytes: number): Readonly<Record<string, string>> {
  // An eighth of the memory: enough for the hot tables and indexes, little enough for Carillon beside it.
  const sharedBuffersMib = Math.round(Math.min(Math.max(memoryBytes / 8 / mib, 128), 1_024));
  return {
    // Nothing acknowledged is lost: these four are the promise and must stay on.
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    // A crashed backend does not end the server; a crashed server is started again by Carillon.
    restart_after_crash: 'on',

    max_connections: '200',
    shared_buffers: `${sharedBuffersMib}MB`,
    effective_cache_size: `${sharedBuffersMib * 3}MB`,
    // Statements that touch many partitions take many locks.
    max_locks_per_transaction: '256',
    // Compiling costs more than any statement of this workload.
    jit: 'off',
    // Short statements only; parallel workers would also need /dev/shm, which is 64 MB in most containers.
    max_parallel_workers_per_gather: '0',
    // Nothing subscribes to an embedded server: one process less.
    max_logical_replication_workers: '0',

    // Each checkpoint makes the next change of a page write the whole page to the log: few, and spread out.
    checkpoint_timeout: '15min',
    checkpoint_completion_target: '0.9',
    max_wal_size: '2GB',
    min_wal_size: '256MB',
    // The programs bring pglz only: a quarter less log for a fifth fewer updates (7,500 to 5,900 batches in 3 s).
    wal_compression: 'off',

    // Queue-like tables die young; vacuum often and in small bites.
    autovacuum_naptime: '15s',
    autovacuum_vacuum_scale_factor: '0.05',
    autovacuum_vacuum_insert_scale_factor: '0.1',
    autovacuum_analyze_scale_factor: '0.05',
    autovacuum_vacuum_cost_limit: '1000',

    // Connections of a killed Carillon end within a minute even where no reset arrives.
    tcp_keepalives_idle: '30',
    tcp_keepalives_interval: '10',
    tcp_keepalives_count: '3',

    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] %a ',
    log_checkpoints: 'off',
    // Statements, and details such as "failing row contains", carry what users store, secrets among it.
    log_min_error_statement: 'panic',
    log_parameter_max_length_on_error: '0',
    log_error_verbosity: 'terse',
  };
}

/** The text of carillon.conf. */
export function settingsFile(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  return ['# Written by Carillon at each start: changes here are lost.', ...lines, ''].join('\n');
}
