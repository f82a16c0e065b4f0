import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { EncodedBody, PlainBody } from './plain-body.ts';
import type { BodyLimits, ResponseBody } from './response-body.ts';
import { StreamBody } from './stream-body.ts';

/** Response headers by lower-case name. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The reader for a body with these headers. `succeeded` says whether the status means success. */
export function bodyFromHeaders(
  headers: ResponseHeaders,
  succeeded: boolean,
  limits: BodyLimits,
  mask: AnswerMask,
): ResponseBody {
  // It is told in the log.
  const encoding = mask
    .text(first(headers['content-encoding']) ?? '')
    .trim()
    .toLowerCase();
  if (encoding && encoding !== 'identity') return new EncodedBody(encoding, limits);
  switch (first(headers['content-type'])?.split(';', 1)[0]?.trim().toLowerCase()) {
    case 'application/x-ndjson':
    case 'application/ndjson':
    case 'application/jsonlines':
      return new StreamBody({ format: 'ndjson', ...limits, mask });
    case 'text/event-stream':
      return new StreamBody({ format: 'event-stream', ...limits, mask });
    default:
      return new PlainBody(succeeded, limits, mask);
  }
}

/** The first of a header's values; a header that should come once and comes twice counts once. */
export function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
