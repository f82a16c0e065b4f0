import { createHash, randomBytes } from 'node:crypto';

/** How every token of ours begins, so that people and scanners of secrets know one. */
const start = 'carillon_';

/** How much of a token is shown again: its start and 24 of its 256 bits. */
const shownLength = start.length + 4;

const pattern = /^carillon_[A-Za-z0-9_-]{43}$/;

/** Whether a text may be a token of ours. */
export const isTokenText = (text: string): boolean => pattern.test(text);

/** What is kept of a token's text. 256 random bits need neither salt nor a slow hash. */
export const hashOfToken = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Draws a token: its text, what is kept of it, and what is shown again. */
export function drawToken(): { readonly text: string; readonly hash: Buffer; readonly prefix: string } {
  const text = start + randomBytes(32).toString('base64url');
  return { text, hash: hashOfToken(text), prefix: text.slice(0, shownLength) };
}
