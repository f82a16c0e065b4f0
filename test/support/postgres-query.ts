import pg from 'pg';

/** Runs one statement on a connection of its own and returns its rows. */
export async function queryOnce(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 20_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** Runs one statement and returns the first column of its first row. */
export async function queryValue(url: string, text: string): Promise<unknown> {
  const [row = {}] = await queryOnce(url, text);
  return Object.values(row)[0];
}
