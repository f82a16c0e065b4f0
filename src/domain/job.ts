import type { Schedule } from './schedule/schedule.ts';

/** The name of a job: unique among the jobs that exist. */
export type JobKey = { readonly namespace: string; readonly group: string; readonly name: string };

/** Points at one job, by id or by key. */
export type JobRef = { readonly id: number } | { readonly key: JobKey };

/** Chooses jobs; every condition that is present must hold. At least one is. */
export type Selector = {
  readonly namespace?: string;
  readonly group?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly namePrefix?: string;
  /** Where the caller may choose; absent: everywhere. Access control sets it, no caller does. */
  readonly within?: readonly string[];
};

export type JobState = 'ACTIVE' | 'PAUSED' | 'FINISHED';

export type OverlapPolicy = 'SKIP' | 'BUFFER_ONE' | 'BUFFER_ALL' | 'CANCEL_OTHER' | 'ALLOW';

export type MisfirePolicy = 'SKIP' | 'RUN_LAST' | 'RUN_ALL';

/** What happens to fire times that nobody could fire in time. */
export type Misfire = {
  readonly policy: MisfirePolicy;
  /** A fire time handled later than this, in milliseconds, counts as missed. */
  readonly graceMs: number;
  /** How many missed fire times RUN_ALL runs at most. */
  readonly maxCatchUp: number;
  /** How far back RUN_ALL goes, in milliseconds. */
  readonly catchUpWindowMs: number;
};

/** How failed attempts are repeated. */
export type Retry = {
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly multiplier: number;
  /** The part of a wait, 0 to 1, that is drawn by chance and added to it. */
  readonly jitter: number;
};

/** A JSON value; what Struct carries. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a run is told, in three shapes that live side by side. */
export type Parameters = {
  readonly text?: string;
  readonly object?: { [key: string]: Json };
  readonly list?: readonly { readonly name: string; readonly value: string }[];
};

export type HttpTarget = {
  readonly kind: 'http';
  readonly url: string;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  /** Sent in place of the JSON object when present. */
  readonly body?: string;
  /** Empty: every 2xx. 202 is a success only where it is among them; else the callee will report later. */
  readonly successCodes: readonly number[];
  /** How long until the response headers, in milliseconds; absent: bounded by the attempt only. */
  readonly timeoutMs?: number;
  /** The secret of the job's namespace that requests are signed with; absent: they are not. */
  readonly signingSecretName?: string;
  /** Further headers, each with the secret of the job's namespace that is its value; absent: none. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
  /** Whether url, header values and body hold placeholders. */
  readonly template?: boolean;
  /** How long a callee that reports later may be silent, in milliseconds; absent: bounded by the attempt only. */
  readonly heartbeatTimeoutMs?: number;
};

/** TLS towards a callee, whose certificate is always verified. */
export type TlsOptions = {
  /** The name that the certificate must be for; absent: the host. */
  readonly serverName?: string;
  /** Certificates in PEM to trust in place of the public authorities. */
  readonly caPem?: string;
  /** The secret of the job's namespace whose certificate is shown to a callee that asks for one; absent: none is. */
  readonly clientCertificateSecretName?: string;
};

export type GrpcTarget = {
  readonly kind: 'grpc';
  /** host:port; an IPv6 address is in brackets. */
  readonly address: string;
  /** Absent: no TLS. */
  readonly tls?: TlsOptions;
  readonly metadata: Readonly<Record<string, string>>;
  /** package.Service/Method. */
  readonly method: string;
  /** Further metadata, each with the secret of the job's namespace that is its value; absent: none. */
  readonly secretMetadata?: Readonly<Record<string, string>>;
};

export type SocketTarget = {
  readonly kind: 'socket';
  /** A name or an address; an IPv6 address is without brackets. */
  readonly host: string;
  readonly port: number;
  /** Absent: no TLS. */
  readonly tls?: TlsOptions;
  /** How long the connection may take to stand, TLS included, in milliseconds; absent: the client's default. */
  readonly connectTimeoutMs?: number;
  /** How long the callee may be silent, in milliseconds; absent: bounded by the attempt only. */
  readonly idleTimeoutMs?: number;
  /** How long a callee that reports later may be silent, in milliseconds; absent: bounded by the attempt only. */
  readonly heartbeatTimeoutMs?: number;
};

/** Executions wait in a queue until a worker takes them. */
export type WorkerTarget = {
  readonly kind: 'worker';
  readonly queue: string;
  /** What a worker must have; empty: any worker of the queue. */
  readonly labels: Readonly<Record<string, string>>;
};

/** Where executions are delivered; a union that grows by kind. */
export type Target = HttpTarget | GrpcTarget | SocketTarget | WorkerTarget;

/** Who may run an execution: one worker, or those with these labels. */
export type Placement = { readonly workerId: string } | { readonly labels: Readonly<Record<string, string>> };

/** What a user defines: everything of a job that Add and Update can set. */
export type JobDefinition = {
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly schedules: readonly Schedule[];
  readonly target: Target;
  readonly parameters: Parameters;
  readonly priority: number;
  readonly overlap: OverlapPolicy;
  readonly misfire: Misfire;
  readonly retry: Retry;
  readonly attemptTimeoutMs: number;
  /** Absent: an execution waits as long as it must. */
  readonly queueTimeoutMs?: number;
  /** How many executions run at once, whatever overlap says; 0: no limit. */
  readonly maxRunning: number;
};

/** One reason why a job is held. */
export type Pause = {
  readonly id: string;
  readonly actor: string;
  readonly reason: string;
  readonly createdAt: Date;
  readonly untilAt?: Date;
};

/** A stored job as the API shows it. */
export type Job = JobDefinition & {
  readonly id: number;
  readonly key: JobKey;
  readonly state: JobState;
  readonly pauses: readonly Pause[];
  readonly nextFireAt?: Date;
  readonly lastFireAt?: Date;
  /** How many of its executions wait for another one of it to end. */
  readonly bufferedCount: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Counts the changes of the definition, from 1. */
  readonly generation: number;
  /** Counts the changes of definition and pauses; the etag is made of it. */
  readonly revision: number;
};

/** What a user can set of a stored job. */
export function definitionOf(job: Job): JobDefinition {
  const { description, labels, schedules, target, parameters, priority, overlap, misfire, retry } = job;
  const { attemptTimeoutMs, queueTimeoutMs, maxRunning } = job;
  return {
    description,
    labels,
    schedules,
    target,
    parameters,
    priority,
    overlap,
    misfire,
    retry,
    attemptTimeoutMs,
    queueTimeoutMs,
    maxRunning,
  };
}

/** What a definition takes where the user says nothing. */
export const jobDefaults = {
  namespace: 'default',
  group: 'default',
  overlap: 'SKIP',
  misfire: { policy: 'RUN_LAST', graceMs: 60_000, maxCatchUp: 100, catchUpWindowMs: 86_400_000 },
  retry: { maxAttempts: 3, initialBackoffMs: 1_000, maxBackoffMs: 300_000, multiplier: 2, jitter: 0.2 },
  attemptTimeoutMs: 300_000,
  maxRunning: 0,
} as const satisfies {
  namespace: string;
  group: string;
  overlap: OverlapPolicy;
  misfire: Misfire;
  retry: Retry;
  attemptTimeoutMs: number;
  maxRunning: number;
};
