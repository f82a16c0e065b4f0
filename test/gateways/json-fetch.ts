/** What tests look at of an answer. */
export type Fetched = {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** The body as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any;
};

/** Asks, and reads the whole answer. */
export async function ask(url: string, init: RequestInit = {}): Promise<Fetched> {
  const response = await fetch(url, init);
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
  return {
    status: response.status,
    text,
    headers: response.headers,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

/** Asks with a JSON body. */
export function send(
  method: string,
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Fetched> {
  return ask(url, {
    method,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
}
