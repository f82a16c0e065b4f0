/**
 * What the audit keeps of a definition: everything that says what was set,
 * nothing that opens a door. The audit is read by others than those who may
 * read jobs, is kept longer, and ends up in other systems; so whatever may be a
 * credential is masked whole, by where it stands and not by how it looks:
 *
 * - values of HTTP headers and gRPC metadata, all of them: which one is a
 *   credential cannot be told by its name;
 * - user and password, and all values in the query and the fragment of a URL,
 *   and parts of its path that look like tokens, as web hooks have them;
 * - bodies, certificates and the texts of parameters: their lengths are kept;
 * - values of parameters: their names are kept.
 *
 * Names of secrets stay: they are no secrets, and say what a job may use.
 */
import type { JobDefinition, Parameters, Target, TlsOptions } from '../../domain/job.ts';
import type { AuditImage } from '../../store/audit-store.ts';

/** What stands in place of a value. */
export const mask = '***';

/** A definition as the audit keeps it, in the form in which it is stored. */
export function maskedDefinition(definition: JobDefinition): AuditImage {
  const { target, parameters } = definition;
  return { ...definition, target: maskedTarget(target), parameters: maskedParameters(parameters) };
}

/** The names of parameters and the length of their text; undefined where there are none. */
export function maskedParameters({ text, object, list }: Parameters): AuditImage | undefined {
  if (text === undefined && object === undefined && (list?.length ?? 0) === 0) return undefined;
  return {
    ...(text !== undefined && { text: lengthOf(text) }),
    ...(object && { object: Object.keys(object) }),
    ...(list && list.length > 0 && { list: list.map(({ name }) => name) }),
  };
}

function maskedTarget(target: Target): AuditImage {
  switch (target.kind) {
    case 'http': {
      const { body } = target;
      return {
        ...target,
        url: maskedUrl(target.url),
        headers: maskedValues(target.headers),
        ...(body !== undefined && { body: lengthOf(body) }),
      };
    }
    case 'grpc':
      return { ...target, metadata: maskedValues(target.metadata), tls: maskedTls(target.tls) };
    case 'socket':
      return { ...target, tls: maskedTls(target.tls) };
    case 'worker':
      return { ...target };
  }
}

function maskedTls(tls: TlsOptions | undefined): AuditImage | undefined {
  if (tls?.caPem === undefined) return tls;
  return { ...tls, caPem: lengthOf(tls.caPem) };
}

const maskedValues = (values: Readonly<Record<string, string>>): AuditImage =>
  Object.fromEntries(Object.keys(values).map((name) => [name, mask]));

const lengthOf = (text: string): string => `${text.length} characters`;

/**
 * Masks a URL by its text, because one with placeholders need not parse. What
 * comes behind the first `?` or `#` is query or fragment, whatever it looks like.
 */
export function maskedUrl(url: string): string {
  const tail = /[?#]/.exec(url)?.index ?? url.length;
  const place = url
    .slice(0, tail)
    .replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/]*@/i, (_, scheme: string = '') => `${scheme}//${mask}@`)
    .split('/')
    .map((part, i) => (i > 2 && looksLikeToken(part) ? mask : part))
    .join('/');
  return place + url.slice(tail).replace(/[^?#&;]+/g, maskedPair);
}

/** `name=value` without its value; all of it where it is no pair. */
const maskedPair = (pair: string): string => {
  const at = pair.indexOf('=');
  return at < 0 ? mask : `${pair.slice(0, at)}=${mask}`;
};

/** So many characters of one word with digits in it are drawn by a machine, and not chosen by a person. */
const looksLikeToken = (part: string): boolean => part.length >= 16 && /\d/.test(part) && /[a-z]/i.test(part);
