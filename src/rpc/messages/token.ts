import type { Token as TokenMessage } from '../../../gen/carillon/v1/token_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { Token, TokenDraft } from '../../domain/token.ts';
import { roles } from './enums.ts';
import { optionalDate, optionalTimestamp } from './times.ts';

/** Reads a token that is to be made. */
export function tokenDraftFromMessage(message: TokenMessage): TokenDraft {
  return {
    name: message.name,
    grants: message.grants.map(({ namespace, role }, i) => {
      const known = roles.fromMessage(role);
      if (!known) throw invalidField(`token.grants[${i}].role`, 'must be set');
      return { namespace, role: known };
    }),
    expiresAt: optionalDate(message.expireTime),
    certificateName: message.certificateName || undefined,
  };
}

export function tokenToMessage(token: Token): TokenMessage {
  return {
    $typeName: 'carillon.v1.Token',
    id: BigInt(token.id),
    name: token.name,
    grants: token.grants.map(({ namespace, role }) => ({
      $typeName: 'carillon.v1.Grant',
      namespace,
      role: roles.toMessage(role),
    })),
    expireTime: optionalTimestamp(token.expiresAt),
    certificateName: token.certificateName ?? '',
    prefix: token.prefix,
    creator: token.creator,
    createTime: optionalTimestamp(token.createdAt),
    lastUseTime: optionalTimestamp(token.lastUsedAt),
    revokeTime: optionalTimestamp(token.revokedAt),
  };
}
