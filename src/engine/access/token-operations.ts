import type { Token, TokenDraft } from '../../domain/token.ts';
import type { Caller, Page } from '../operations.ts';

/** What the outside may ask of tokens. */
export type TokenOperations = {
  /** `text` is shown this once; absent for a certificate. */
  create(draft: TokenDraft, caller: Caller): Promise<{ readonly token: Token; readonly text?: string }>;
  /** Newest first; those whose grants all lie in namespaces that the caller administers. */
  list(
    options: { readonly includeEnded: boolean },
    page: Page,
    caller: Caller,
  ): Promise<{ readonly tokens: readonly Token[]; readonly nextPageToken: string }>;
  /** For good; a second time changes nothing. */
  revoke(tokenId: number, caller: Caller): Promise<Token>;
};
