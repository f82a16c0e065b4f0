import { randomBytes } from 'node:crypto';
import { DomainError, invalidField } from '../../domain/errors.ts';
import {
  type Secret,
  type SecretKind,
  secretBytesFromText,
  secretBytesToText,
  secretHeaderText,
  secretLimits,
} from '../../domain/secret.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Store } from '../../store/store.ts';
import { auditRow } from '../audit/audit-rows.ts';
import type { Caller, Page, PutSecret, SecretOperations } from '../operations.ts';
import { pageByName } from '../page-token.ts';
import { secretInUse } from '../refusals.ts';
import { certificateFromText } from './client-certificate.ts';
import type { SecretBox, SecretName } from './secret-box.ts';

export type SecretDeskOptions = {
  readonly store: Pick<Store, 'db' | 'transaction' | 'secrets' | 'namespaces' | 'audits'>;
  readonly box: SecretBox;
  readonly clock: Clock;
  /** Told when a secret was changed or deleted here; other instances notice by themselves. */
  readonly onChange: (name: SecretName) => void;
};

/** What is kept of a value that was put. */
type Kept = {
  readonly kind: SecretKind;
  readonly value: Buffer;
  readonly expiresAt?: Date;
  /** How long the value before goes on signing, in milliseconds. */
  readonly keepPreviousMs: number;
  /** The value in words, where it was drawn here. */
  readonly drawn?: string;
};

/** What the outside may ask of secrets. A value goes in, is sealed, and never comes out again. */
export class SecretDesk implements SecretOperations {
  readonly #options: SecretDeskOptions;

  constructor(options: SecretDeskOptions) {
    this.#options = options;
  }

  async put(
    request: PutSecret,
    caller: Caller,
  ): Promise<{ secret: Secret; created: boolean; value?: string }> {
    const { store, box, onChange } = this.#options;
    const { namespace, name } = request;
    if (!box.canSeal) throw keyMissing();
    const present = request.kind ? undefined : await store.secrets.find(store.db, namespace, name);
    const kept = this.#keep(request.kind ?? present?.kind ?? 'SIGNING', request);
    const put = await store.transaction(async (tx) => {
      await store.namespaces.ensure(tx, namespace);
      const sealed = { ...kept, value: box.seal(request, kept.value) };
      const created = await store.secrets.insert(tx, namespace, name, sealed);
      // A statement of its own: it sees what another transaction has put since the insert began.
      const isNew = created || (await this.#change(tx, request, kept));
      const secret = await store.secrets.find(tx, namespace, name);
      const { kind, expiresAt } = kept;
      await store.audits.insert(tx, [
        auditRow(caller, {
          namespace,
          object: { type: 'secret', name },
          after: {
            kind,
            expiresAt,
            generated: kept.drawn !== undefined,
            previousUntilAt: secret?.previousUntilAt,
          },
          details: { changed: isNew ? 1 : 0, created },
        }),
      ]);
      if (!secret) throw new Error(`the secret ${JSON.stringify(name)} went away while it was put`);
      return { secret, created };
    });
    onChange({ namespace, name });
    return { ...put, value: kept.drawn };
  }

  /** Reads a value as its kind says, or draws one. */
  #keep(kind: SecretKind, { value: given, keepPreviousMs }: PutSecret): Kept {
    if (kind === 'SIGNING') {
      const value =
        given === undefined ? randomBytes(secretLimits.generatedBytes) : secretBytesFromText(given, 'value');
      return {
        kind,
        value,
        keepPreviousMs: keepPreviousMs ?? secretLimits.defaultKeepPreviousMs,
        drawn: given === undefined ? secretBytesToText(value) : undefined,
      };
    }
    const what = kind === 'TEXT' ? 'a text' : 'a certificate';
    if (given === undefined) throw invalidField('value', `must be set; ${what} is not generated`);
    if (keepPreviousMs !== undefined) {
      throw invalidField('keep_previous', `is for secrets that sign; of ${what} none is kept`);
    }
    if (kind === 'TEXT') {
      return { kind, value: Buffer.from(secretHeaderText(given, 'value'), 'latin1'), keepPreviousMs: 0 };
    }
    const certificate = certificateFromText(given, this.#options.clock.now(), 'value');
    return { kind, value: certificate.toBytes(), expiresAt: certificate.expiresAt, keepPreviousMs: 0 };
  }

  /**
   * Gives a secret its new value, and keeps the one before. The same value is
   * only sealed again, under the first key; one that no key opens is not kept.
   * Returns whether the value is another.
   */
  async #change(
    tx: Parameters<Store['secrets']['lock']>[0],
    { namespace, name, kind: asked }: PutSecret,
    { kind, value, expiresAt, keepPreviousMs }: Kept,
  ): Promise<boolean> {
    const { store, box } = this.#options;
    const stored = await store.secrets.lock(tx, namespace, name);
    if (stored && asked && stored.kind !== asked) {
      throw invalidField('kind', `${namespace}/${name} is of kind ${stored.kind} and stays so`);
    }
    if (stored?.kind !== kind) {
      throw new DomainError('CONCURRENT_CHANGE', 'the secret was deleted or made anew meanwhile; try again', {
        retryAfterMs: 50,
      });
    }
    const sealed = box.seal({ namespace, name }, value);
    const before = box.open({ namespace, name }, stored.value);
    const previous = before?.equals(value)
      ? undefined
      : { value: before ? box.seal({ namespace, name }, before) : null, keepMs: keepPreviousMs };
    await store.secrets.change(tx, namespace, name, { value: sealed, expiresAt, previous });
    return previous !== undefined;
  }

  async list(namespace: string, page: Page): Promise<{ secrets: readonly Secret[]; nextPageToken: string }> {
    const { store } = this.#options;
    const { items, nextPageToken } = await pageByName(['secrets', namespace], page, (after, limit) =>
      store.secrets.list(store.db, { namespace, after, limit }),
    );
    return { secrets: items, nextPageToken };
  }

  async delete(namespace: string, name: string, caller: Caller): Promise<{ existed: boolean }> {
    const { store, onChange } = this.#options;
    const existed = await store.transaction(async (tx) => {
      const removal = await store.secrets.remove(tx, namespace, name);
      if (removal.kind === 'used') throw secretInUse(namespace, name, removal);
      const changed = removal.kind === 'deleted' ? 1 : 0;
      await store.audits.insert(tx, [
        auditRow(caller, { namespace, object: { type: 'secret', name }, details: { changed } }),
      ]);
      return changed === 1;
    });
    onChange({ namespace, name });
    return { existed };
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
