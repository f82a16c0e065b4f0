import { Zone } from '../domain/schedule/zone.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Interceptor } from '../rpc/call.ts';
import { LocalClient } from '../rpc/local-client.ts';
import type { Mount, ServerState } from '../rpc/mount.ts';
import type { Service } from '../rpc/services/service.ts';
import { createDataarts } from './dataarts.ts';
import type { Dialect, DialectOptions } from './dialect.ts';
import { createGatewayMount } from './gateway-mount.ts';
import { createIuap } from './iuap/iuap.ts';
import { createRuoyi } from './ruoyi/ruoyi.ts';
import { createSchedulerx } from './schedulerx/schedulerx.ts';
import { createTaskApi } from './task-api/task-api.ts';

/** The dialects by the names under which they are switched on. */
export const dialects = {
  ruoyi: createRuoyi,
  schedulerx: createSchedulerx,
  'task-api': createTaskApi,
  iuap: createIuap,
  dataarts: createDataarts,
} satisfies Record<string, (options: DialectOptions) => Dialect>;

/** The name of a dialect. */
export type DialectName = keyof typeof dialects;

/** What the gateways are made with. */
export type GatewaysOptions = {
  readonly names: readonly DialectName[];
  /** The IANA name of the zone of local times. */
  readonly timeZone: string;
  readonly services: readonly Service[];
  readonly chain: readonly Interceptor[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Web origins whose pages may ask. */
  readonly allowedOrigins: readonly string[];
};

/** Makes the mounts of the dialects that are on, once the server is there that they hang in. */
export function createGateways(options: GatewaysOptions): (server: ServerState) => readonly Mount[] {
  const { names, services, chain, clock, logger, allowedOrigins } = options;
  if (names.length === 0) return () => [];
  const zone = Zone.find(options.timeZone);
  if (zone === undefined) throw new Error(`there is no time zone ${options.timeZone}`);
  const chosen = names.map((name) => dialects[name]({ clock, zone }));
  return (server) => {
    const client = new LocalClient({ services, chain, server });
    return [createGatewayMount({ dialects: chosen, client, logger, allowedOrigins })];
  };
}
