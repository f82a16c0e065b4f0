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

/** The command tag of an answer without rows: an idle claim, say, whose loss would prove nothing. */
const noRows = Buffer.from('SELECT 0\0');

/**
 * Breaks the connection of the next statement that fits. Of a statement inside
 * a transaction it is the COMMIT that counts; one outside of it counts when its
 * answer has rows. Resolves when it has happened.
 */
export function loseNext(proxy: TcpProxy, mark: StatementMark, loss: Loss): Promise<void> {
  const marked = 'name' in mark ? `\0${mark.name}\0` : mark.text;
  const inTransaction = new Set<ProxiedConnection>();
  let chosen: ProxiedConnection | undefined;
  let committing = false;
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
      if (connection === chosen && (isEnd || !inTransaction.has(connection))) {
        if (loss === 'request') finish(connection);
        committing = true;
      }
      if (isEnd) inTransaction.delete(connection);
    });
    const stopServer = proxy.onServerData((data, connection) => {
      if (!committing || connection !== chosen) return;
      if (data.includes(noRows)) {
        chosen = undefined;
        committing = false;
        return;
      }
      connection.setMode({ kind: 'one-way' });
      if (data.subarray(-readyForQuery.length).equals(readyForQuery)) finish(connection);
    });
  });
}
