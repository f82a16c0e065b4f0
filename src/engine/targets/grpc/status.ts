import { Buffer } from 'node:buffer';
import type { IncomingHttpHeaders } from 'node:http2';
import { fromBinary } from '@bufbuild/protobuf';
import { RetryInfoSchema } from '../../../../gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../../../gen/google/rpc/status_pb.js';
import type { AnswerMask } from '../../secrets/answer-mask.ts';
import { neutralText } from '../http/callee-text.ts';
import { boundedRetryAfterMs, failed, maxQuotedLength } from '../http/failure.ts';
import type { DeliveryResult } from '../target.ts';
import { msFromDuration } from './run-event.ts';

type Meaning = { readonly name: string; readonly retryable: boolean };

const again = (name: string): Meaning => ({ name, retryable: true });
const never = (name: string): Meaning => ({ name, retryable: false });
const unknown = again('UNKNOWN');

/** What each status means, by its number. 0, OK, is the only success. */
const meanings: readonly Meaning[] = [
  never('OK'),
  again('CANCELLED'),
  unknown,
  never('INVALID_ARGUMENT'),
  again('DEADLINE_EXCEEDED'),
  never('NOT_FOUND'),
  never('ALREADY_EXISTS'),
  never('PERMISSION_DENIED'),
  again('RESOURCE_EXHAUSTED'),
  never('FAILED_PRECONDITION'),
  again('ABORTED'),
  never('OUT_OF_RANGE'),
  never('UNIMPLEMENTED'),
  again('INTERNAL'),
  again('UNAVAILABLE'),
  never('DATA_LOSS'),
  never('UNAUTHENTICATED'),
];

/** The end that the trailers of an answer mean; undefined when they have no status. */
export function endFromTrailers(trailers: IncomingHttpHeaders, mask: AnswerMask): DeliveryResult | undefined {
  const code = single(trailers['grpc-status']);
  if (code === undefined) return undefined;
  if (code === '0') return { outcome: 'SUCCEEDED', message: '', retryable: false };
  const { name, retryable } = (/^\d{1,2}$/.test(code) ? meanings[Number(code)] : undefined) ?? unknown;
  const quoted = neutralText(mask.text(decoded(single(trailers['grpc-message']) ?? '')), maxQuotedLength);
  const retryAfterMs = retryable ? retryAfterMsFrom(single(trailers['grpc-status-details-bin'])) : undefined;
  return {
    ...failed(quoted ? `gRPC ${name}: ${quoted}` : `gRPC ${name}`, retryable),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** Whether the callee says that the time it was given is over. */
export function isDeadlineExceeded(trailers: IncomingHttpHeaders | undefined): boolean {
  return single(trailers?.['grpc-status']) === '4';
}

/**
 * The failure that headers mean which do not begin a gRPC answer, as when a
 * proxy answers in the callee's place; undefined when they do begin one. The
 * statuses that stand for HTTP's are those of gRPC's http-grpc-status-mapping.
 */
export function failureFromHeaders(headers: IncomingHttpHeaders): DeliveryResult | undefined {
  const status = Number(headers[':status']);
  if (status !== 200) {
    return failed(`HTTP ${status} in place of a gRPC answer`, ![401, 403, 404].includes(status));
  }
  const type = single(headers['content-type']) ?? '';
  if (/^application\/grpc(?:$|[+;])/i.test(type)) return undefined;
  return failed('answer is not gRPC, by its content-type', true);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** grpc-message is UTF-8 with percent signs for all that is not printable ASCII. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The wait that a google.rpc.RetryInfo among the details asks for. */
function retryAfterMsFrom(details: string | undefined): number | undefined {
  if (details === undefined) return undefined;
  try {
    const status = fromBinary(StatusSchema, Buffer.from(details, 'base64'));
    const info = status.details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.RetryInfo'));
    const delay = info && fromBinary(RetryInfoSchema, info.value).retryDelay;
    return delay && boundedRetryAfterMs(msFromDuration(delay));
  } catch {
    // A wish that cannot be read is none.
    return undefined;
  }
}
