import { DomainError } from '../../domain/errors.ts';
import type { AuthenticationOperations, Principal } from '../../engine/operations.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Call, Interceptor } from '../call.ts';
import type { ClientCertificate } from '../client-certificate.ts';

/**
 * Says who calls, and refuses whoever may do what the method does in no
 * namespace at all; in which ones it may is for the operation to ask. Streams
 * end with UNAUTHENTICATED when the credentials that opened them do.
 *
 * What a callee reports is let through: its token is in the request, and the
 * operation judges it.
 */
export function authenticateCalls(
  authentication: AuthenticationOperations,
  clock: Pick<Clock, 'now'>,
): Interceptor {
  return {
    name: 'authentication',
    open(call) {
      if (call.method.permission === 'ATTEMPT_TOKEN') return;
      const principal = authentication.authenticate({
        authorization: call.header('authorization'),
        certificateNames: namesIn(call.clientCertificate(), clock.now()),
        peer: call.peer(),
      });
      if (!(principal instanceof Promise)) return admit(call, principal);
      return principal.then((found) => admit(call, found));
    },
  };

  function admit(call: Call, principal: Principal): void {
    call.principal = principal;
    const { permission, kind, name } = call.method;
    if (!principal.access.allowsSomewhere(permission)) {
      throw new DomainError(
        'PERMISSION_DENIED',
        `${name} needs the permission ${permission}, in any namespace`,
        {
          metadata: { permission, method: name },
        },
      );
    }
    if (kind === 'unary') return;
    const release = authentication.watch(principal, () => call.fail(credentialsEnded()));
    call.whenSettled(release);
  }
}

/** What a certificate calls its bearer, the most telling first; nothing once it has expired, on however old a connection. */
function namesIn(certificate: ClientCertificate | undefined, now: Date): readonly string[] {
  if (!certificate || certificate.validTo <= now) return [];
  const { uris, dnsNames, subjectName } = certificate;
  const names = [...uris, ...dnsNames];
  return names.length === 0 && subjectName !== undefined ? [subjectName] : names;
}

function credentialsEnded(): DomainError {
  return new DomainError(
    'UNAUTHENTICATED',
    'the credentials that opened this stream have expired or were revoked; go on with others',
  );
}
