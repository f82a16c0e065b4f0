import type { HttpRequest } from '../rpc/mount.ts';

/**
 * Whether a request was sent by a web page of another origin that is not
 * allowed. Forms, images and links go out without a preflight and so without
 * CORS: any page that a visitor opens could run jobs at a port that asks for
 * no credentials. Browsers say where a request comes from; other clients say
 * nothing.
 */
export function isFromForeignPage({ headers }: HttpRequest, allowedOrigins: ReadonlySet<string>): boolean {
  const { origin, host } = headers;
  const authority = host ?? (headers as { readonly ':authority'?: string })[':authority'];
  if (origin !== undefined && allowedOrigins.has(origin)) return false;
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== authority;
}
