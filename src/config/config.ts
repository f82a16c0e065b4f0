/**
 * The operator's reference: every option, what it does, its default, its unit,
 * the range that makes sense, and what goes wrong outside it.
 *
 * A key mirrors its variable: `engine.leaseTtlMs` is CARILLON_ENGINE_LEASE_TTL_MS.
 * The one exception is `databaseUrl`, which is DATABASE_URL as everywhere. A
 * variable that is set to nothing counts as not set. Sizes are bytes, spans are
 * milliseconds, both as plain whole numbers. All that is wrong is told at once.
 */
import type { EgressRule } from '../platform/egress-policy.ts';
import type { JwtAlgorithm } from './jwt-algorithms.ts';
import type { ListenAddress } from './listen-address.ts';

/** A part of the work that an instance can take on. */
export type Role = 'api' | 'scheduler' | 'dispatcher';

/**
 * What JWTs have to be that callers may show in place of an API token: all of it comes from here, and nothing from the
 * token itself. Default: none are taken. Needs `access.control`, and all of `issuer`, `audience` and one source of keys.
 */
export type JwtConfig = {
  /** Who issues them: the claim `iss`, exactly. Default none: no JWTs are taken. */
  readonly issuer: string | undefined;
  /** For whom they are: one of the claim `aud`, exactly. Not a value that other services share. */
  readonly audience: string | undefined;
  /**
   * Where the public keys are that they are signed with: a JWKS behind a fixed URL (https; http on loopback only). It is
   * fetched again after ten minutes, and at most every 30 s for a key that is not in it.
   */
  readonly jwksUrl: URL | undefined;
  /** A file with a JWKS, in place of the URL; read at the start. */
  readonly keysFile: string | undefined;
  /**
   * The algorithms that are taken, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA and Ed25519.
   * Default RS256,PS256,ES256,EdDSA. Only asymmetric ones exist here.
   */
  readonly algorithms: readonly JwtAlgorithm[];
  /** The type in the header. Default at+jwt (RFC 9068). `JWT` for issuers that write no other: then set an audience of Carillon's own. */
  readonly type: string;
  /**
   * How far the issuer's clock and this one may be apart, in milliseconds. Default 30,000, at most 60,000. Shorter
   * refuses tokens that are new; longer takes those that have expired.
   */
  readonly clockToleranceMs: number;
  /**
   * The claim that says what the bearer may. Default carillon. An object {"namespace": "role"} or a list of
   * "role:namespace"; roles are viewer, operator, editor, admin, worker; the namespace * is every one.
   */
  readonly claim: string;
};

/** An HTTP API of another scheduler that the HTTP port can speak. */
export type GatewayName = 'ruoyi' | 'schedulerx' | 'task-api' | 'iuap' | 'dataarts';

/** Every option, checked. */
export type Config = {
  readonly grpc: {
    /**
     * Where native gRPC listens. Default 127.0.0.1:50051. Port 0 takes a free one. Anything but a loopback address
     * (127.0.0.0/8, ::1, localhost) needs `access.control`, or `insecure`.
     */
    readonly address: ListenAddress;
  };
  readonly http: {
    /** Where Connect, gRPC-Web, JSON and the console listen. Default 127.0.0.1:8080. Otherwise as `grpc.address`. */
    readonly address: ListenAddress;
    /**
     * The web origins whose pages may call the HTTP port, such as https://console.example.com, separated by commas.
     * Default none: browsers then let only pages of the port itself call. `*` is refused, since any page that a
     * visitor opens could then drive Carillon.
     */
    readonly corsOrigins: readonly string[];
    /**
     * The host names by which callers may address the HTTP port while nobody needs credentials and it listens on
     * loopback, beside addresses and localhost. Default none. A page that a browser of this machine opens could point
     * its own name at 127.0.0.1 and then drive Carillon as a page of the port itself (DNS rebinding); it cannot have
     * these names. Needed behind a proxy that passes the name on; unused with `access.control`.
     */
    readonly hosts: readonly string[];
  };
  readonly server: {
    /**
     * Connections of all callers to both ports. Default 10,000, sensible 100–100,000; one more is closed without an
     * answer. Lower: callers wait for each other. Higher needs `ulimit -n` above it, and 50 KB of memory for each.
     */
    readonly maxConnections: number;
    /**
     * Connections of one address, counted over both ports; of IPv6 addresses, of one /64. Default 1,000, sensible 20–
     * `server.maxConnections`. Lower: callers behind one proxy or NAT are refused. Higher: one caller can take them all.
     */
    readonly maxConnectionsPerAddress: number;
    /**
     * How old a connection may get, give or take a tenth; then its calls have a minute, and the caller connects again.
     * Default 0, any age; sensible 5 minutes to a day, behind a balancer of connections, so that callers find new
     * instances. Shorter: log streams and workers' streams break off and go on all the time.
     */
    readonly maxConnectionAgeMs: number;
  };
  readonly tls: {
    /**
     * The certificate of both listeners in PEM, with those of the authorities between it and one that callers trust.
     * Default none: both speak plain text. With it both speak TLS 1.2 or 1.3 and nothing else; probes use https. The
     * files are read again every 10 seconds, and new connections get the new certificate. See docs/listeners.md.
     */
    readonly certFile: string | undefined;
    /** Its private key in PEM, without a passphrase. Set with `tls.certFile`, and never without. */
    readonly keyFile: string | undefined;
    /**
     * The authorities in PEM whose client certificates prove who calls. Default none: callers are not asked for one.
     * Callers need not show one; a caller whose certificate cannot be verified is cut off. Whoever can have a
     * certificate signed by one of them can call in its name, so public authorities do not belong here.
     */
    readonly clientCaFile: string | undefined;
    /**
     * The revocation lists (CRL) in PEM of these authorities, one of each and of each authority between. Default none:
     * a certificate is good until it expires. With it a caller is refused when it connects whose certificate is
     * revoked, or whose authority has no list in the file that holds: renew lists before they expire. Connections
     * that are open stay. Read again like the other files.
     */
    readonly clientCrlFile: string | undefined;
  };
  /**
   * Which HTTP APIs of other schedulers the HTTP port speaks besides its own, separated by commas: ruoyi, schedulerx,
   * task-api, iuap, dataarts. Default none. Each takes paths of the port for itself; see docs/gateways.md.
   */
  readonly gateways: readonly GatewayName[];
  /**
   * The IANA zone of the local times and cron expressions of gateways whose APIs have no way to name one. Default UTC.
   * With another one than their clients mean, jobs added through them fire hours off.
   */
  readonly gatewayTimeZone: string;
  /**
   * Allows listeners that other machines reach although callers need no credentials. Default false. Whoever reaches
   * such a port controls every job; turn it on only where a network policy or a proxy keeps strangers out.
   * `--insecure` does the same.
   */
  readonly insecure: boolean;
  /**
   * Whether the gRPC port answers server reflection, v1 and v1alpha, by which grpcurl and its like learn the API. Default
   * true, also with `access.control`, and then without credentials: it tells the protos, which are public, and nothing
   * of what is stored. With false such tools need the files of proto/carillon/v1.
   */
  readonly reflection: boolean;
  readonly access: {
    /**
     * Whether callers need credentials: an API token, a JWT (`jwt`) or a client certificate. Default false, which only
     * loopback addresses take without `insecure`. The first start on an empty database prints the token of an
     * administrator; `carillon token init` makes another. Bearer tokens travel in every call: use TLS, here or in a
     * proxy, wherever they cross a network. See docs/access.md.
     */
    readonly control: boolean;
  };
  /** JWTs that callers may show in place of an API token. */
  readonly jwt: JwtConfig;
  /**
   * The Postgres (14 or newer) to use, as postgres://user:password@host:port/database. Default none: Carillon starts
   * an embedded one. Several instances share their work by sharing this. Never logged.
   */
  readonly databaseUrl: string | undefined;
  /**
   * The folder of the embedded Postgres: its data, password and log. Default .carillon in the working folder. One
   * process at a time. On a network file system or a tmpfs, what was acknowledged may be lost. Unused with `databaseUrl`.
   */
  readonly dataDir: string;
  /**
   * The keys that secrets are encrypted under, each 32 random bytes in base64 (openssl rand -base64 32), separated by
   * commas: the first encrypts, all decrypt. Default none: then no secret can be put, and none used. The same on every
   * instance but while keys change over, as docs/http-targets.md says: the leader encrypts what is under another key anew
   * under the first, as soon as every instance has that. Never logged. Without the key that a secret is under, the secret
   * is lost.
   */
  readonly secretKey: readonly Uint8Array[];
  readonly database: {
    /**
     * Connections in the pool of this instance; two more are held for notifications and the lease. Default 16,
     * sensible 8–50. With fewer, calls wait for each other; the sum over all instances must stay below the server's
     * max_connections, else the last instance cannot start.
     */
    readonly poolSize: number;
  };
  readonly log: {
    /** The least level that is written: debug, info, warn, error, silent. Default info. debug writes several lines a call. */
    readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  };
  /**
   * What this instance does: `api` answers calls, `scheduler` may become the leader that fires, `dispatcher` runs
   * attempts. Default all three. Over all instances each role must be somewhere: without a scheduler nothing fires,
   * without a dispatcher executions stay pending. Workers connect to instances with `api`.
   */
  readonly roles: readonly Role[];
  readonly egress: {
    /**
     * What targets may call besides public addresses, separated by commas: addresses, ranges (10.0.0.0/8), host names
     * (callee.internal) and ends of host names (*.svc.cluster.local). `none` opens nothing. Default none; but with the
     * embedded Postgres and both listeners on loopback, where only this machine can add jobs, 127.0.0.0/8 and ::1.
     * Whoever may add a job reaches all of it from where Carillon stands: 0.0.0.0/0,::/0 is every network there is,
     * except for the metadata addresses of clouds, which each have to be listed, and the ports of the instance itself
     * and of its database, which nothing opens. See docs/egress.md.
     */
    readonly allow: readonly EgressRule[];
  };
  readonly engine: {
    /**
     * How long the leader's lease lasts without renewal, by the database's clock. Default 4,000, sensible
     * 3,000–15,000. Shorter: a slow database or a pause of the process takes leadership away for nothing. Longer:
     * nothing fires for that long after the leader hangs.
     */
    readonly leaseTtlMs: number;
    /**
     * How often the leader renews, and every instance says that it lives. Default 1,000, sensible a quarter of the
     * lease. Must be below half of `leaseTtlMs` and of `instanceTtlMs`, so that one lost renewal is made up for.
     */
    readonly leaseRenewMs: number;
    /**
     * How long an instance that is silent counts as alive; then its attempts are given to others. Default 5,000,
     * sensible 4,000–30,000. Shorter: attempts that still run are started a second time after a hiccup. Longer: the
     * work of a lost instance waits that long.
     */
    readonly instanceTtlMs: number;
    /**
     * How often loops look without being woken: the net below lost notifications. Default 1,000, sensible 500–10,000.
     * Shorter costs the database for nothing; longer delays the rare work whose notification was lost.
     */
    readonly safetyIntervalMs: number;
    /**
     * Attempts that run at once in this instance; more wait as pending. Default 1,000, sensible 10–10,000. Higher
     * needs memory and sockets for each (see also `ulimit -n`); lower leaves work waiting.
     */
    readonly maxRunning: number;
    /**
     * Fire times handled in one transaction. Default 2,000, sensible 500–5,000. Lower: a herd of jobs takes longer to
     * start. Higher: the transaction holds its locks longer and may outlast the lease.
     */
    readonly fireBatchSize: number;
    /**
     * Executions claimed in one statement. Default 500, sensible 100–2,000. Lower: more statements for the same work.
     * Higher: one instance takes what others had free slots for.
     */
    readonly claimBatchSize: number;
    /**
     * Connections kept to one HTTP target (scheme, host and port). Default 256, sensible 16–1,000. Lower: attempts on
     * a slow target wait for each other. Higher: a herd may overrun the target.
     */
    readonly connectionsPerOrigin: number;
    /**
     * Bytes of log kept of one attempt; what comes after leaves a gap marker. Default 16 MiB, sensible 64 KiB–256 MiB.
     * Lower loses lines; higher lets one talkative job fill the disk.
     */
    readonly logBytesPerAttempt: number;
    /**
     * How long a callee that reports later may take to end an attempt whose cancel was asked for; then it is CANCELED
     * without a report. Default 30,000, sensible 5,000–600,000: above the time between its heartbeats, because it
     * learns of the cancel by one. Shorter: what cleans up after itself runs on unseen. Longer: an execution whose
     * callee is gone stays RUNNING after its cancel.
     */
    readonly calleeCancelGraceMs: number;
    /**
     * How long SIGTERM waits for running attempts before they are given back. Default 10,000, sensible 0 to a little
     * less than what the process manager grants (30,000 in Kubernetes). Shorter: attempts run again elsewhere.
     * Longer than the manager's patience: the process is killed and its attempts wait for `instanceTtlMs`.
     */
    readonly shutdownGraceMs: number;
  };
  readonly worker: {
    /**
     * How often a worker has to send something. A stream that is silent for three times as long counts as broken.
     * Default 5,000, sensible 1,000–30,000. Longer: a cut connection is noticed later. Shorter: traffic without use.
     */
    readonly heartbeatMs: number;
    /**
     * How long a worker that lost its stream keeps its attempts. Default 10,000, sensible 2,000–300,000. Shorter:
     * attempts run again although their worker goes on. Longer: those of a worker that crashed wait.
     */
    readonly reconnectGraceMs: number;
    /**
     * How long a worker may take to end an attempt that it was told to cancel. Default 10,000, sensible 1,000–60,000.
     * Shorter: what cleans up after itself runs on unseen. Longer: a deaf worker keeps a place.
     */
    readonly cancelGraceMs: number;
  };
  readonly stream: {
    /**
     * How long a stream may be silent before a heartbeat is sent. Default 15,000, sensible 5,000–50,000. Longer:
     * proxies in between close idle streams, commonly after 60 s. Shorter: traffic without use.
     */
    readonly heartbeatMs: number;
    /**
     * Bytes that wait for one slow watcher; beyond it the oldest lines are dropped and a gap marker says how many.
     * Default 4 MiB, sensible 256 KiB–64 MiB. Times the number of stalled watchers it is the memory they may take.
     */
    readonly bufferBytes: number;
  };
  readonly feed: {
    /**
     * How long an event stays to be replayed to a watcher that comes back. Default 3,600,000 (one hour), sensible
     * 10 minutes to a day. Shorter: watchers that were away get CURSOR_EXPIRED. Longer: a bigger table.
     */
    readonly retentionMs: number;
  };
};
