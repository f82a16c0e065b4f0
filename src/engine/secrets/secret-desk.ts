import { randomBytes } from 'node:crypto';
import { DomainError } from '../../domain/errors.ts';
import { type Secret, secretBytesFromText, secretBytesToText, secretLimits } from '../../domain/secret.ts';
import type { Store } from '../../store/store.ts';
import type { Page, PutSecret, SecretOperations } from '../operations.ts';
import { pageSize, pageTokenFrom, positionFromPageToken } from '../page-token.ts';
import { secretInUse } from '../refusals.ts';
import type { SecretBox, SecretName } from './secret-box.ts';

export type SecretDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'secrets' | 'namespaces'>;
  readonly box: SecretBox;
  /** Told when a secret was changed or deleted here; other instances notice by themselves. */
  readonly onChange: (name: SecretName) => void;
};

const isText = (value: unknown): value is string => typeof value === 'string';

/** What the outside may ask of secrets. A value goes in, is sealed, and never comes out again. */
export class SecretDesk implements SecretOperations {
  readonly #options: SecretDeskOptions;

  constructor(options: SecretDeskOptions) {
    this.#options = options;
  }

  async put(request: PutSecret): Promise<{ secret: Secret; created: boolean; value?: string }> {
    const { store, box, onChange } = this.#options;
    const { namespace, name, value: given } = request;
    if (!box.canSeal) throw keyMissing();
    const value =
      given === undefined ? randomBytes(secretLimits.generatedBytes) : secretBytesFromText(given, 'value');
    const put = await store.transaction(async (tx) => {
      await store.namespaces.ensure(tx, request.namespace);
      const created = await store.secrets.insert(tx, namespace, name, box.seal(request, value));
      // A statement of its own: it sees what another transaction has put since the insert began.
      if (!created) await this.#change(tx, request, value);
      const secret = await store.secrets.find(tx, namespace, name);
      if (!secret) throw new Error(`the secret ${JSON.stringify(name)} went away while it was put`);
      return { secret, created };
    });
    onChange({ namespace, name });
    return { ...put, value: given === undefined ? secretBytesToText(value) : undefined };
  }

  /**
   * Gives a secret its new value, and keeps the one before. The same value is
   * only sealed again, under the first key; one that no key opens is not kept.
   */
  async #change(
    tx: Parameters<Store['secrets']['lock']>[0],
    { namespace, name, keepPreviousMs }: PutSecret,
    value: Buffer,
  ): Promise<void> {
    const { store, box } = this.#options;
    const stored = await store.secrets.lock(tx, namespace, name);
    if (!stored) {
      throw new DomainError('CONCURRENT_CHANGE', 'the secret was deleted meanwhile; try again', {
        retryAfterMs: 50,
      });
    }
    const sealed = box.seal({ namespace, name }, value);
    const before = box.open({ namespace, name }, stored);
    const previous = before?.equals(value)
      ? undefined
      : { value: before ? box.seal({ namespace, name }, before) : null, keepMs: keepPreviousMs };
    await store.secrets.change(tx, namespace, name, { value: sealed, previous });
  }

  async list(namespace: string, page: Page): Promise<{ secrets: readonly Secret[]; nextPageToken: string }> {
    const { store } = this.#options;
    const list = ['secrets', namespace];
    const after = positionFromPageToken(list, page.token, isText);
    const size = pageSize(page.size);
    const secrets = await store.secrets.list(store.db, { namespace, after, limit: size + 1 });
    const shown = secrets.slice(0, size);
    const last = shown.at(-1);
    return {
      secrets: shown,
      nextPageToken: secrets.length > size && last ? pageTokenFrom(list, last.name) : '',
    };
  }

  async delete(namespace: string, name: string): Promise<{ existed: boolean }> {
    const { store, onChange } = this.#options;
    const removal = await store.transaction((tx) => store.secrets.remove(tx, namespace, name));
    if (removal.kind === 'used') throw secretInUse(namespace, name, removal);
    onChange({ namespace, name });
    return { existed: removal.kind === 'deleted' };
  }
}

function keyMissing(): DomainError {
  const description = 'set CARILLON_SECRET_KEY to 32 random bytes in base64 (openssl rand -base64 32)';
  return new DomainError(
    'SECRET_KEY_MISSING',
    `this instance has no key to keep secrets under: ${description}`,
    {
      metadata: { variable: 'CARILLON_SECRET_KEY' },
      precondition: { type: 'SECRET_KEY_MISSING', subject: 'CARILLON_SECRET_KEY', description },
    },
  );
}
