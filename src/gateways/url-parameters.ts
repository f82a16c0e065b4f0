import { RequestRefused } from './failure.ts';

/** The most parameters of one request. */
const maxParameters = 1_000;

/**
 * Reads `a=1&b=2` as forms and queries are written. A name that comes twice is
 * refused: which of the two counts would be anybody's guess.
 */
export function parseParameters(text: string, where: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  const pairs = text.split('&').filter((pair) => pair !== '');
  if (pairs.length > maxParameters)
    throw new RequestRefused(400, `${where} must have at most ${maxParameters} parameters`);
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals), where);
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1), where);
    if (parameters.has(name)) throw new RequestRefused(400, `${shown(name)} must be given once`);
    parameters.set(name, value);
  }
  return parameters;
}

/** Puts the parameters of a query and of a form together; none may be in both. */
export function mergeParameters(
  query: ReadonlyMap<string, string>,
  form: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const twice = [...form.keys()].find((name) => query.has(name));
  if (twice !== undefined) {
    throw new RequestRefused(400, `${shown(twice)} must be given once, in the query or in the body`);
  }
  return new Map([...query, ...form]);
}

function decode(text: string, where: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new RequestRefused(400, `${where} must be percent-encoded UTF-8`);
  }
}

const shown = (name: string): string => (name.length > 100 ? `${name.slice(0, 100)}…` : name);
