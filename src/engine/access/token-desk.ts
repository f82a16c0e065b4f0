/**
 * Tokens: who may grant what is decided here, since it depends on what is
 * granted. A caller grants only what it administers. The text of a token leaves
 * this process once, in the reply that made it; a reply that is lost leaves a
 * token that nobody has, to be seen in the list and revoked.
 */
import { everyNamespace } from '../../domain/access.ts';
import { invalidField } from '../../domain/errors.ts';
import type { Token, TokenDraft } from '../../domain/token.ts';
import type { Notifier } from '../../store/notifier.ts';
import type { Store } from '../../store/store.ts';
import { type AuditedChange, auditRow } from '../audit/audit-rows.ts';
import type { Caller, Page } from '../operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from '../page-token.ts';
import { namespaceNotFound, permissionDenied, tokenAlreadyExists, tokenNotFound } from '../refusals.ts';
import type { TokenOperations } from './token-operations.ts';
import { drawToken } from './token-text.ts';

export type TokenDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'tokens' | 'namespaces' | 'audits'>;
  readonly notifier: Pick<Notifier, 'notify'>;
};

const isId = (value: unknown): value is number => Number.isSafeInteger(value);

export class TokenDesk implements TokenOperations {
  readonly #options: TokenDeskOptions;

  constructor(options: TokenDeskOptions) {
    this.#options = options;
  }

  async create(
    draft: TokenDraft,
    caller: Caller,
  ): Promise<{ readonly token: Token; readonly text?: string }> {
    const { store } = this.#options;
    const { certificateName } = draft;
    for (const { namespace } of draft.grants) {
      if (namespace === everyNamespace) requireEverywhere(caller);
      else await this.#requireAdministered(namespace, caller);
    }
    if (certificateName !== undefined) requireEverywhere(caller);
    if (draft.expiresAt && (await store.tokens.isPast(store.db, draft.expiresAt))) {
      throw invalidField('token.expire_time', 'must lie in the future');
    }
    const drawn = certificateName === undefined ? drawToken() : undefined;
    const token = await store.transaction(async (tx) => {
      const { hash, prefix = '' } = drawn ?? {};
      const inserted = await store.tokens.insert(tx, draft, { hash, prefix, creator: caller.actor });
      if (!inserted) throw tokenAlreadyExists(certificateName ?? '');
      await store.audits.insert(tx, [
        auditRow(caller, { ...aboutToken(inserted), after: { ...draft, prefix }, details: { changed: 1 } }),
      ]);
      return inserted;
    });
    return { token, text: drawn?.text };
  }

  async list(
    { includeEnded }: { readonly includeEnded: boolean },
    page: Page,
    caller: Caller,
  ): Promise<{ readonly tokens: readonly Token[]; readonly nextPageToken: string }> {
    const { store } = this.#options;
    const within = caller.access.namespacesWith('ADMINISTER');
    const list = ['tokens', includeEnded, within ?? null];
    const beforeId = positionFromPageToken(list, page.token, isId);
    const size = pageSize(page.size);
    const found = await store.tokens.list(store.db, { within, includeEnded }, beforeId, size + 1);
    const tokens = found.slice(0, size);
    return { tokens, nextPageToken: found.length > size ? pageTokenFrom(list, tokens.at(-1)!.id) : '' };
  }

  async revoke(tokenId: number, caller: Caller): Promise<Token> {
    const { store, notifier } = this.#options;
    const token = await store.transaction(async (tx) => {
      const found = await store.tokens.lock(tx, tokenId);
      const isAdministered = found?.grants.every(({ namespace }) =>
        namespace === everyNamespace
          ? caller.access.allowsEverywhere('ADMINISTER')
          : caller.access.allows('ADMINISTER', namespace),
      );
      if (!found || !isAdministered) throw tokenNotFound(tokenId);
      const revoked = await store.tokens.revoke(tx, tokenId);
      const changed = found.revokedAt ? 0 : 1;
      await store.audits.insert(tx, [auditRow(caller, { ...aboutToken(found), details: { changed } })]);
      return revoked;
    });
    notifier.notify('tokens');
    return token;
  }

  async #requireAdministered(namespace: string, caller: Caller): Promise<void> {
    const { store } = this.#options;
    if (!caller.access.sees(namespace)) throw namespaceNotFound(namespace);
    if (!caller.access.allows('ADMINISTER', namespace)) throw permissionDenied(caller, namespace);
    if (!(await store.namespaces.find(store.db, namespace))) throw namespaceNotFound(namespace);
  }
}

/** A token is of a namespace where all of its grants are in one. */
function aboutToken({ id, name, grants }: Token): Pick<AuditedChange, 'namespace' | 'object'> {
  const [namespace, ...others] = new Set(grants.map((grant) => grant.namespace));
  const isOfOne = others.length === 0 && namespace !== everyNamespace;
  return { namespace: isOfOne ? namespace : undefined, object: { type: 'token', id, name } };
}

function requireEverywhere(caller: Caller): void {
  if (!caller.access.allowsEverywhere('ADMINISTER')) throw permissionDenied(caller, everyNamespace);
}
