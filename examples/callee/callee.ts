/**
 * A callee to try Carillon with: an HTTP service that answers every delivery
 * with three log lines over half a second and a result.
 *
 *     npm run callee            listens on http://127.0.0.1:9000
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { execution_id, parameters } = JSON.parse(Buffer.concat(chunks).toString()) as {
    execution_id: number;
    parameters: { text?: string };
  };
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  const write = (line: object): boolean => response.write(`${JSON.stringify(line)}\n`);
  write({ level: 'info', message: `hello ${parameters.text ?? 'world'}` });
  await sleep(250);
  write({ level: 'warn', message: 'half way', data: { percent: 50 } });
  await sleep(250);
  write({ message: 'done' });
  response.end(`${JSON.stringify({ result: { greeted: parameters.text ?? 'world' } })}\n`);
  process.stdout.write(`delivered ${execution_id}\n`);
});

const port = Number(process.argv[2] ?? 9000);
server.listen(port, '127.0.0.1', () => {
  const address = server.address() as AddressInfo;
  process.stdout.write(`callee on http://127.0.0.1:${address.port}\n`);
});
