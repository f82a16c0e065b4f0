import type { RefusedCall } from '../../src/engine/operations.ts';
import { createGateways, type DialectName } from '../../src/gateways/gateways.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { type Logger, silentLogger } from '../../src/platform/logger.ts';
import type { Metrics } from '../../src/platform/metrics.ts';
import type { Interceptor } from '../../src/rpc/call.ts';
import { createChain } from '../../src/rpc/chain.ts';
import { GrpcServer, type GrpcServerOptions } from '../../src/rpc/grpc-server.ts';
import { HttpServer, type HttpServerOptions } from '../../src/rpc/http-server.ts';
import type { Service } from '../../src/rpc/services/service.ts';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';

/** Both servers over one fake, on free ports. */
export type Servers = {
  readonly operations: FakeOperations;
  readonly grpc: GrpcServer;
  readonly http: HttpServer;
  /** Every call that has ended, as the metrics saw it: `carillon.v1.JobService/Get OK`. */
  readonly ended: string[];
  /** Every line of the log. */
  readonly logged: LogLine[];
  /** Every refused call that is for the audit. */
  readonly refused: RefusedCall[];
  stop(): Promise<void>;
};

/** One line of the log with its level. */
export type LogLine = { readonly level: string; readonly message: string } & Readonly<
  Record<string, unknown>
>;

/** What differs from the defaults. */
export type ServersOptions = {
  /** Services beside Carillon's own, or in place of them. */
  readonly moreServices?: readonly Service[];
  /** What stands behind the chain. */
  readonly moreInterceptors?: readonly Interceptor[];
  readonly maxUnaryMs?: number;
  /** Stands where authentication does. */
  readonly authentication?: Interceptor;
  /** The gateways of the HTTP port. */
  readonly gateways?: readonly DialectName[];
  readonly grpc?: Partial<GrpcServerOptions>;
  readonly http?: Partial<HttpServerOptions>;
};

/** Starts both servers as the composition root does. */
export async function startServers(options: ServersOptions = {}): Promise<Servers> {
  const operations = new FakeOperations();
  const ended: string[] = [];
  const logged: LogLine[] = [];
  const metrics: Metrics = {
    count: () => undefined,
    observe: (_name, _value, labels) => ended.push(`${labels?.method} ${labels?.code}`),
  };
  const logger = memoryLogger(logged);
  const { moreServices = [] } = options;
  const own = createServices(operations).filter(({ desc }) =>
    moreServices.every((more) => more.desc !== desc),
  );
  const services = [...own, ...moreServices];
  const { maxUnaryMs, authentication, moreInterceptors = [], gateways = [] } = options;
  const refused: RefusedCall[] = [];
  const refusals = { record: (call: RefusedCall) => void refused.push(call) };
  const chain = [
    ...createChain({ clock: systemClock, logger, metrics, services, refusals, maxUnaryMs }).flatMap((each) =>
      each.name === 'deadline' && authentication ? [authentication, each] : [each],
    ),
    ...moreInterceptors,
  ];
  const common = {
    address: '127.0.0.1:0',
    services,
    chain,
    ready: () => operations.ready(),
    clock: systemClock,
    logger,
  };
  const grpc = new GrpcServer({ ...common, ...options.grpc });
  const mounts = createGateways({
    names: gateways,
    timeZone: 'Asia/Shanghai',
    services,
    chain,
    clock: systemClock,
    logger,
    allowedOrigins: options.http?.corsOrigins ?? [],
  });
  const http = new HttpServer({ ...common, mounts, ...options.http });
  await Promise.all([grpc.start(), http.start()]);
  const stop = async (): Promise<void> => {
    await Promise.all([grpc.stop(), http.stop()]);
  };
  return { operations, grpc, http, ended, logged, refused, stop };
}

/** A log that keeps its lines. */
export function memoryLogger(lines: LogLine[]): Logger {
  const write =
    (level: string): Logger['info'] =>
    (fields, message) => {
      lines.push({ ...fields, level, message });
    };
  return {
    ...silentLogger,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => memoryLogger(lines),
  };
}
