/**
 * Carillon instances as processes of their own, the way operators run them, so
 * that a test can kill and stop them as the kernel would.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import pg from 'pg';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { AttemptService } from '../../gen/carillon/v1/attempt_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { WorkerService } from '../../gen/carillon/v1/worker_service_pb.js';
import { showToken } from '../../src/cli/client.ts';
import { awaitThat } from './await-that.ts';

/** What an instance is started with. */
export type InstanceOptions = {
  readonly databaseUrl: string;
  /** Variables besides DATABASE_URL and the addresses, which are free ports of 127.0.0.1. */
  readonly env?: Readonly<Record<string, string | number>>;
  /** What is run; by default the sources of this checkout. */
  readonly program?: string;
  /** Flags of Node. Default none. */
  readonly nodeFlags?: readonly string[];
};

/** How a process ended: with a code, or by a signal. */
export type ProcessEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** Clients of one connection. */
export type InstanceClient = {
  readonly jobs: Client<typeof JobService>;
  readonly executions: Client<typeof ExecutionService>;
  readonly admin: Client<typeof AdminService>;
  readonly workers: Client<typeof WorkerService>;
  readonly attempts: Client<typeof AttemptService>;
  close(): void;
};

const mainPath = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

/** How long a process may take to say that it is up; two cores may be shared with others. */
const startLimitMs = 40_000;

/** A running `carillon serve`. */
export class InstanceProcess implements InstanceClient {
  readonly #child: ChildProcess;
  readonly #clients: InstanceClient[] = [];
  readonly #client: InstanceClient;
  #output: { stdout: string; stderr: string };
  /** Settles when the process is gone. */
  readonly ended: Promise<ProcessEnd>;
  /** Where native gRPC listens, host:port; with TLS its base URL. */
  readonly grpc: string;
  /** The HTTP port's base URL. */
  readonly http: string;

  private constructor(
    child: ChildProcess,
    output: { stdout: string; stderr: string },
    ended: Promise<ProcessEnd>,
    banner: RegExpExecArray,
  ) {
    this.#child = child;
    this.#output = output;
    this.ended = ended;
    this.grpc = banner[1]!;
    this.http = banner[2]!;
    this.#client = this.connect();
  }

  /** Starts an instance; resolves when its banner says where it listens. */
  static async start({
    databaseUrl,
    env = {},
    program = mainPath,
    nodeFlags = [],
  }: InstanceOptions): Promise<InstanceProcess> {
    const child = spawn(process.execPath, [...nodeFlags, program, 'serve'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...inheritedEnv(),
        DATABASE_URL: databaseUrl,
        CARILLON_GRPC_ADDRESS: '127.0.0.1:0',
        CARILLON_HTTP_ADDRESS: '127.0.0.1:0',
        // The callees of tests are on loopback.
        CARILLON_EGRESS_ALLOW: '127.0.0.0/8,::1',
        ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])),
      },
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    let end: ProcessEnd | undefined;
    const ended = new Promise<ProcessEnd>((resolve) => {
      child.once('exit', (code, signal) => {
        end = { code, signal };
        resolve(end);
      });
    });
    const banner = await awaitThat(
      'an instance is up',
      () => {
        if (end) throw new Error(`the instance ended with ${end.code ?? end.signal}:\n${output.stderr}`);
        return (
          /gRPC\s+(\S+)[\s\S]*HTTP\s+(\S+)[\s\S]*database\s+\S+[^\n]*\n/.exec(output.stdout) ?? undefined
        );
      },
      startLimitMs,
    ).catch((error: unknown) => {
      child.kill('SIGKILL');
      throw error;
    });
    return new InstanceProcess(child, output, ended, banner);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The name under which it is in the table of instances. */
  get name(): string {
    return `${hostname()}:${this.pid}`;
  }

  /** What it has printed so far: its banner. */
  get banner(): string {
    return this.#output.stdout;
  }

  /** What it has logged so far. */
  get log(): string {
    return this.#output.stderr;
  }

  get jobs(): Client<typeof JobService> {
    return this.#client.jobs;
  }

  get executions(): Client<typeof ExecutionService> {
    return this.#client.executions;
  }

  get admin(): Client<typeof AdminService> {
    return this.#client.admin;
  }

  get workers(): Client<typeof WorkerService> {
    return this.#client.workers;
  }

  get attempts(): Client<typeof AttemptService> {
    return this.#client.attempts;
  }

  /** The token of an administrator that its first start has printed. */
  get firstToken(): string {
    return /token +(carillon_\S+)/.exec(this.#output.stdout)?.[1] ?? '';
  }

  /** Opens clients on a connection of their own, which show a token or none. */
  connect(token?: string): InstanceClient {
    const baseUrl = this.grpc.includes('://') ? this.grpc : `http://${this.grpc}`;
    const sessionManager = new Http2SessionManager(baseUrl);
    const interceptors: Interceptor[] = token === undefined ? [] : [showToken(token)];
    const transport = createGrpcTransport({ baseUrl, sessionManager, interceptors });
    const client = {
      jobs: createClient(JobService, transport),
      executions: createClient(ExecutionService, transport),
      admin: createClient(AdminService, transport),
      workers: createClient(WorkerService, transport),
      attempts: createClient(AttemptService, transport),
      close: () => sessionManager.abort(),
    };
    this.#clients.push(client);
    return client;
  }

  /** Sends a signal; false when the process is gone. */
  kill(signal: NodeJS.Signals): boolean {
    return this.#child.kill(signal);
  }

  /** Asks it to stop and waits until it has. */
  async stop(): Promise<ProcessEnd> {
    this.kill('SIGTERM');
    return this.ended;
  }

  /** Ends it at once, whatever it does, and closes the clients. */
  close(): void {
    for (const client of this.#clients) client.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.kill('SIGKILL');
  }
}

/** The environment without what would change the instance. */
function inheritedEnv(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || name.startsWith('CARILLON_') || name.startsWith('VITEST')) continue;
    if (name === 'NODE_OPTIONS' || name === 'NODE_ENV') continue;
    kept[name] = value;
  }
  return kept;
}

/**
 * Starts instances for a test and ends them behind it. When the test is red
 * their logs are printed.
 */
export function useInstances(): {
  start(options: InstanceOptions): Promise<InstanceProcess>;
  startTwo(options: InstanceOptions): Promise<[InstanceProcess, InstanceProcess]>;
} {
  const running: InstanceProcess[] = [];
  afterEach(async ({ task }) => {
    const ended = running.splice(0);
    for (const instance of ended) instance.close();
    await Promise.all(ended.map((instance) => instance.ended));
    if (task.result?.state !== 'fail') return;
    for (const instance of ended) console.error(`log of instance ${instance.pid}:\n${instance.log}`);
  });
  const start = async (options: InstanceOptions): Promise<InstanceProcess> => {
    const instance = await InstanceProcess.start(options);
    running.push(instance);
    return instance;
  };
  return {
    start,
    startTwo: (options) => Promise.all([start(options), start(options)]),
  };
}

/** Starts an instance that the tests of a file share. When one is red the log so far is printed. */
export function useInstance(options: () => InstanceOptions): () => InstanceProcess {
  let instance: InstanceProcess | undefined;
  beforeAll(async () => {
    instance = await InstanceProcess.start(options());
  });
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(`log of instance ${instance?.pid}:\n${instance?.log}`);
  });
  afterAll(async () => {
    instance?.close();
    await instance?.ended;
  });
  return () => {
    if (!instance) throw new Error('the instance exists from beforeAll on');
    return instance;
  };
}

/** Who leads, by the lease in the database; undefined while nobody does. */
export type Leader = { readonly name: string; readonly term: number };

/** Reads who leads at this moment by the database's clock. */
export async function findLeader(client: pg.Client): Promise<Leader | undefined> {
  const { rows } = await client.query<{ name: string; term: string }>(
    `select i.name, l.term from carillon.leader_lease l join carillon.instance i on i.id = l.instance_id
      where l.expires_at > clock_timestamp()`,
  );
  const row = rows[0];
  return row && { name: row.name, term: Number(row.term) };
}

/** Waits until one of these instances leads, under a higher term than `afterTerm`; tells which and who else there is. */
export async function awaitLeader(
  client: pg.Client,
  instances: readonly InstanceProcess[],
  { afterTerm = 0, limitMs }: { readonly afterTerm?: number; readonly limitMs?: number } = {},
): Promise<{ leader: InstanceProcess; followers: InstanceProcess[]; term: number }> {
  return awaitThat(
    `a leader with a term above ${afterTerm}`,
    async () => {
      const found = await findLeader(client);
      const leader = instances.find((instance) => instance.name === found?.name);
      if (!found || !leader || found.term <= afterTerm) return undefined;
      return { leader, followers: instances.filter((other) => other !== leader), term: found.term };
    },
    limitMs,
  );
}

/** A session of the test's own, which survives that the server goes away. */
export async function connectPg(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
