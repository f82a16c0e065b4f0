import type { HttpRequest } from '../rpc/mount.ts';
import { RequestRefused } from './failure.ts';
import { parseParameters } from './url-parameters.ts';

/** What a request body may weigh, in bytes: as much as an RPC's. */
export const maxBodyBytes = 4 * 1_024 * 1_024;

/** How deep JSON may nest. Parameters take 32 levels; what lies deeper exhausts stacks further in. */
const maxDepth = 64;

/** Whoever asked went away before the request was here: there is nobody to answer. */
export class CallerLeft extends Error {
  override readonly name = 'CallerLeft';
}

/** Reads a body to its end. The rest of one that is too large is left to the server, which closes the connection. */
export async function readBody(request: HttpRequest): Promise<Buffer> {
  const tooLarge = (): RequestRefused =>
    new RequestRefused(413, `the body must have at most ${maxBodyBytes} bytes`, { reason: 'QUOTA_EXCEEDED' });
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length;
      if (size > maxBodyBytes) throw tooLarge();
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (error instanceof RequestRefused) throw error;
    throw new CallerLeft('the request broke off', { cause: error });
  }
  return Buffer.concat(chunks);
}

/** What a body says that it is. */
export type MediaType = { readonly name: string; readonly charset: string };

/** Reads a Content-Type header; the name is empty where there is none. */
export function mediaTypeOf(header: string | undefined): MediaType {
  const [name = '', ...parameters] = (header ?? '').split(';').map((part) => part.trim());
  const charset = parameters.find((part) => /^charset=/i.test(part))?.slice('charset='.length);
  return { name: name.toLowerCase(), charset: charset?.replaceAll('"', '') ?? 'utf-8' };
}

/** The text of a body, without a byte order mark. */
export function textOfBody(body: Buffer, { charset }: MediaType): string {
  const decoder = decoderOf(charset);
  try {
    return decoder.decode(body);
  } catch {
    throw new RequestRefused(400, `the body must be text in ${decoder.encoding}`);
  }
}

function decoderOf(charset: string) {
  try {
    return new TextDecoder(charset, { fatal: true });
  } catch {
    throw new RequestRefused(415, `the charset ${JSON.stringify(charset.slice(0, 40))} is not known`);
  }
}

/** Reads JSON; undefined where there is nothing but blanks. */
export function parseJson(text: string, what = 'the body'): unknown {
  if (text.trim() === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : '';
    // V8 shows a piece of the text, which may be anything.
    throw new RequestRefused(400, `${what} must be JSON: ${why.replace(/, ?(?:\.\.\.)?"[\s\S]*$/, '')}`);
  }
  if (isDeeperThan(value, maxDepth)) {
    throw new RequestRefused(400, `${what} must be nested at most ${maxDepth} levels deep`);
  }
  return value;
}

/** Goes down level by level, without recursion. */
function isDeeperThan(value: unknown, levels: number): boolean {
  let level = isObject(value) ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth === levels) return true;
    const below: object[] = [];
    for (const each of level) for (const inner of Object.values(each)) if (isObject(inner)) below.push(inner);
    level = below;
  }
  return false;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Reads a form body. */
export function parseForm(text: string): ReadonlyMap<string, string> {
  return parseParameters(text, 'the body');
}
