import { everyNamespace } from '../../domain/access.ts';
import type { Store } from '../../store/store.ts';
import { drawToken } from './token-text.ts';

/**
 * Makes a token of an administrator of every namespace, and returns its text,
 * which is kept nowhere. With `onlyFirst`, undefined when there is or ever was a
 * token: of several instances that start on one empty database, one makes it.
 */
export async function createAdminToken(
  store: Pick<Store, 'transaction' | 'tokens'>,
  { name, onlyFirst }: { readonly name: string; readonly onlyFirst: boolean },
): Promise<string | undefined> {
  const { text, hash, prefix } = drawToken();
  return store.transaction(async (tx) => {
    if (onlyFirst && !(await store.tokens.lockFirst(tx))) return undefined;
    const grants = [{ namespace: everyNamespace, role: 'ADMIN' as const }];
    await store.tokens.insert(tx, { name, grants }, { hash, prefix, creator: 'the operator' });
    return text;
  });
}
