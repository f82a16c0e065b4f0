import type { FieldViolation } from './errors.ts';
import { validateGrpcTarget } from './grpc-target.ts';
import { validateHttpTarget } from './http-target.ts';
import type { Target } from './job.ts';
import { validateSocketTarget } from './socket-target.ts';

/** Everything that is wrong with a target of any kind; `path` is where it stands in the request (`job.target`). */
export function validateTarget(target: Target, path: string): FieldViolation[] {
  switch (target.kind) {
    case 'http':
      return validateHttpTarget(target, `${path}.http`);
    case 'grpc':
      return validateGrpcTarget(target, `${path}.grpc`);
    case 'socket':
      return validateSocketTarget(target, `${path}.socket`);
    case 'worker':
      // The rules on its fields say everything.
      return [];
  }
}
