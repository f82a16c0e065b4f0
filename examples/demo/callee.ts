import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A callee that runs in this process. */
export type Callee = { readonly url: string; close(): void };

/** Starts an HTTP callee on a free port that answers each delivery with log lines over about a second, and a result. */
export async function startCallee(): Promise<Callee> {
  const server = createServer((request, response) => {
    // A delivery that breaks off is the demo's end, not a fault.
    response.on('error', () => undefined);
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { parameters } = JSON.parse(Buffer.concat(chunks).toString()) as {
        parameters: { text?: string };
      };
      const name = parameters.text ?? 'world';
      const write = (line: object): boolean => response.write(`${JSON.stringify(line)}\n`);
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      write({ level: 'info', message: `hello ${name}` });
      await sleep(400);
      write({ level: 'warn', message: 'half way', data: { percent: 50 } });
      await sleep(400);
      write({ level: 'info', message: 'done' });
      response.end(`${JSON.stringify({ result: { greeted: name } })}\n`);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
