import type { AdminService } from '../../../gen/carillon/v1/admin_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { TokenOperations } from '../../engine/operations.ts';
import { pageFromMessage } from '../messages/pages.ts';
import { tokenDraftFromMessage, tokenToMessage } from '../messages/token.ts';
import type { Handlers } from './service.ts';

type TokenHandlers = Pick<Handlers<typeof AdminService>, 'createToken' | 'listTokens' | 'revokeToken'>;

/** What AdminService does with tokens. */
export const createTokenHandlers = (tokens: TokenOperations): TokenHandlers => ({
  async createToken({ token }, call) {
    if (token === undefined) throw invalidField('token', 'must be set');
    const created = await tokens.create(tokenDraftFromMessage(token), call.caller);
    return {
      $typeName: 'carillon.v1.AdminServiceCreateTokenResponse',
      token: tokenToMessage(created.token),
      text: created.text ?? '',
    };
  },

  async listTokens(request, call) {
    const { includeEnded } = request;
    const page = await tokens.list({ includeEnded }, pageFromMessage(request), call.caller);
    return {
      $typeName: 'carillon.v1.AdminServiceListTokensResponse',
      tokens: page.tokens.map(tokenToMessage),
      nextPageToken: page.nextPageToken,
    };
  },

  async revokeToken({ tokenId }, call) {
    const token = await tokens.revoke(Number(tokenId), call.caller);
    return { $typeName: 'carillon.v1.AdminServiceRevokeTokenResponse', token: tokenToMessage(token) };
  },
});
