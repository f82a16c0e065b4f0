/**
 * F11, the most valuable fault: a statement reaches the database, its
 * transaction commits, and the answer is lost with the connection. Beside it
 * the twin that looks the same from the instance's side: the connection breaks
 * before the statement arrives, and nothing has happened.
 */
import type { ProxiedConnection, TcpProxy } from './tcp-proxy.ts';

/** What is lost: the reply to what was committed, or the request itself. */
export type Loss = 'reply' | 'request';

/** What shows that a chunk carries a statement: text of it, or the name under which it is prepared. */
export type StatementMark = { readonly text: string } | { readonly name: string };

/** The end of every answer outside a transaction: ReadyForQuery, idle. */
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

const begins = /\0begin\b|^Q....begin\b/s;
const ends = /^Q....(commit|rollback)\b/s;

/**
 * Breaks the connection of the next statement that fits. Of a statement inside
 * a transaction it is the COMMIT that counts. Resolves when it has happened.
 */
export function loseNext(proxy: TcpProxy, mark: StatementMark, loss: Loss): Promise<void> {
  const marked = 'name' in mark ? `\0${mark.name}\0` : mark.text;
  const inTransaction = new Set<ProxiedConnection>();
  let chosen: ProxiedConnection | undefined;
  let dropping = false;
  return new Promise((resolve) => {
    const finish = (connection: ProxiedConnection): void => {
      stopClient();
      stopServer();
      connection.reset();
      resolve();
    };
    const stopClient = proxy.onClientData((data, connection) => {
      const text = data.toString('latin1');
      if (begins.test(text)) inTransaction.add(connection);
      if (!chosen && text.includes(marked)) chosen = connection;
      const isEnd = ends.test(text);
      if (connection === chosen && !dropping && (isEnd || !inTransaction.has(connection))) {
        dropping = true;
        if (loss === 'request') finish(connection);
        else connection.setMode({ kind: 'one-way' });
      }
      if (isEnd) inTransaction.delete(connection);
    });
    const stopServer = proxy.onServerData((data, connection) => {
      if (dropping && connection === chosen && data.subarray(-readyForQuery.length).equals(readyForQuery)) {
        finish(connection);
      }
    });
  });
}
