import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { WorkerService } from '../../gen/carillon/v1/worker_service_pb.js';
import { type ConnectionTls, hasTls } from './connection-options.ts';

/** The service as its own command line sees it: over gRPC, like everybody else. */
export type CarillonClient = {
  readonly jobs: Client<typeof JobService>;
  readonly executions: Client<typeof ExecutionService>;
  readonly admin: Client<typeof AdminService>;
  readonly workers: Client<typeof WorkerService>;
  /** Ends the connection; without it the process would stay for as long as the connection. */
  close(): void;
};

/** How long a call may take. Streams take `timeoutMs: 0`, no limit. */
const defaultTimeoutMs = 30_000;

/** A connection that is silent is asked for a sign of life this often; so a server that vanished is noticed. */
const pingIntervalMs = 20_000;

/**
 * Makes a client of the gRPC port at `address`: host:port, or https://host:port
 * for TLS; with a token to show or none. It connects with the first call.
 */
export function createCarillonClient(
  address: string,
  tls: ConnectionTls = {},
  token?: string,
): CarillonClient {
  const baseUrl = hasTls(address) ? address : `http://${address}`;
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs }, hasTls(address) ? tls : {});
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    defaultTimeoutMs,
    interceptors: token === undefined ? [] : [showToken(token)],
  });
  return {
    jobs: createClient(JobService, transport),
    executions: createClient(ExecutionService, transport),
    admin: createClient(AdminService, transport),
    workers: createClient(WorkerService, transport),
    close: () => sessionManager.abort(),
  };
}

/** Shows a token with each call. */
export const showToken =
  (token: string): Interceptor =>
  (next) =>
  (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
