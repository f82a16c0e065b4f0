import { Code, ConnectError } from '@connectrpc/connect';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RequestInfoSchema,
} from '../../gen/google/rpc/error_details_pb.js';

/**
 * What a failed call says to people: the code and the reason with the message,
 * then each field that the message does not name already, then what else helps.
 */
export function errorLines(error: ConnectError, address: string): readonly string[] {
  const reason = carillonReason(error);
  const code = codeName(error.code);
  const name = reason === undefined || reason === code ? code : `${code} (${reason})`;
  const lines = [`${name}: ${error.rawMessage}`];
  for (const { fieldViolations } of error.findDetails(BadRequestSchema)) {
    for (const { field, description } of fieldViolations) {
      if (!error.rawMessage.includes(description)) lines.push(`  ${field ? `${field}: ` : ''}${description}`);
    }
  }
  if (reason === undefined && error.code === Code.Unavailable) {
    lines.push(`  no Carillon answers at ${address}; carillon serve starts one, --address names another`);
  }
  if (error.code === Code.Internal) {
    for (const { requestId } of error.findDetails(RequestInfoSchema)) {
      lines.push(`  the log of the service has more under request id ${requestId}`);
    }
  }
  return lines;
}

/** The reason that Carillon gave, such as JOB_NOT_FOUND; undefined when the error is not Carillon's own. */
export function carillonReason(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === 'carillon')?.reason;
}

/**
 * Whether the connection was lost or the service went down, so that the same
 * stream can go on from its cursor. A broken connection shows as one of several
 * codes, depending on the moment; none of them carries a reason of Carillon.
 */
export function isInterruption(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Unavailable) return true;
  return carillonReason(error) === undefined && brokenConnectionCodes.has(error.code);
}

const brokenConnectionCodes: ReadonlySet<Code> = new Set([
  Code.Aborted,
  Code.Canceled,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unknown,
]);

/** The code as gRPC spells it, such as NOT_FOUND. */
function codeName(code: Code): string {
  if (code === Code.Canceled) return 'CANCELLED';
  return Code[code].replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
