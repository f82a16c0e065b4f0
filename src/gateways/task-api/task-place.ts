import type { GatewayRequest } from '../gateway-request.ts';

/** Where the tasks of a request are: by default in the namespace and group `default`. */
export function placeOf(request: GatewayRequest): { readonly namespace: string; readonly group: string } {
  return {
    namespace: request.header('carillon-namespace') ?? 'default',
    group: request.header('carillon-group') ?? 'default',
  };
}
