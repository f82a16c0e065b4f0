/**
 * Seals page tokens and stream cursors: what an instance gave out is taken back
 * unchanged, and only for the list or the stream that it was given for, by
 * whoever has the same reach. A cursor names executions whose past is still to
 * be shown; without the seal a caller could write others' into it.
 *
 * A seal is an HMAC-SHA256, cut to 128 bits, over the text and what it is for.
 * Its key is drawn from the database's (report-store), so all instances share it.
 */
import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';
import { invalidField } from '../../domain/errors.ts';
import type { Store } from '../../store/store.ts';
import type { Caller, Page } from '../operations.ts';
import { invalidPageToken } from '../page-token.ts';

const sealBytes = 16;
/** The base64url of a seal. */
const sealLength = 22;

export class PageSeal {
  readonly #store: Pick<Store, 'db' | 'reports'>;
  #key: KeyObject | undefined;

  constructor(store: Pick<Store, 'db' | 'reports'>) {
    this.#store = store;
  }

  /** Reads the key; before that there are no seals. */
  async start(): Promise<void> {
    if (this.#key) return;
    const secret = await this.#store.reports.readTokenKey(this.#store.db);
    this.#key = createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', 'carillon page seal', 32)));
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** The page with the token under the seal; refuses a token that is not sealed for this caller's list. */
  open(page: Page, caller: Caller): Page {
    if (page.token === '') return page;
    const token = this.#unseal(page.token, subjectOf(caller));
    if (token === undefined) throw invalidPageToken('it was not given for this list');
    return { ...page, token };
  }

  /** A list's answer with its token sealed. */
  close<Answer extends { readonly nextPageToken: string }>(answer: Answer, caller: Caller): Answer {
    if (answer.nextPageToken === '') return answer;
    return { ...answer, nextPageToken: this.#seal(answer.nextPageToken, subjectOf(caller)) };
  }

  /** Opens and seals the cursors of one stream. */
  ofStream(source: unknown, caller: Caller): { open(cursor: string): string; close(cursor: string): string } {
    const subject = `${subjectOf(caller)} ${JSON.stringify(source)}`;
    return {
      open: (cursor) => {
        const opened = cursor === '' ? '' : this.#unseal(cursor, subject);
        if (opened === undefined)
          throw invalidField('cursor', 'is not the cursor of a message of this stream');
        return opened;
      },
      close: (cursor) => this.#seal(cursor, subject),
    };
  }

  #seal(text: string, subject: string): string {
    return `${text}${this.#mac(text, subject).toString('base64url')}`;
  }

  #unseal(sealed: string, subject: string): string | undefined {
    const text = sealed.slice(0, -sealLength);
    const seal = Buffer.from(sealed.slice(-sealLength), 'base64url');
    if (seal.length !== sealBytes || !timingSafeEqual(seal, this.#mac(text, subject))) return undefined;
    return text;
  }

  #mac(text: string, subject: string): Buffer {
    if (!this.#key) throw new Error('the key of the seals has not been read');
    return createHmac('sha256', this.#key)
      .update(`${subject.length} ${subject}${text}`)
      .digest()
      .subarray(0, sealBytes);
  }
}

/** What a list is, apart from its filter, which its own tokens carry: the method, and where the caller may call it. */
const subjectOf = ({ method, permission, access }: Caller): string =>
  JSON.stringify([method, access.namespacesWith(permission) ?? null]);
