/**
 * The callee of the benchmarks, a process of its own: answers at once, and
 * keeps when each fire time arrived. `GET /lateness` tells and forgets.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

let lateness: number[] = [];

const server = createServer((request, response) => {
  if (request.url === '/lateness') {
    response.end(JSON.stringify(lateness));
    lateness = [];
    return;
  }
  const fireTime = request.headers['carillon-fire-time'];
  if (typeof fireTime === 'string') lateness.push(Date.now() - Date.parse(fireTime));
  request.resume();
  response.end();
});

server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
