/**
 * The certificate that the listeners show, and the authorities whose client
 * certificates they accept: read from files at the start, and again for as long
 * as the process lives, so that certificates are changed without a restart.
 *
 * The files are compared by what they hold, because Kubernetes swaps a symbolic
 * link above them. Whoever writes a certificate and its key writes one of them
 * first, so files that do not fit together are looked at once more before they
 * count as wrong; then that is logged, once, and what was read before goes on.
 * New connections get what was read last; connections that exist keep theirs.
 *
 * A caller who shows a certificate that cannot be verified is refused, in place
 * of being served as one without: it takes itself for somebody, and would be
 * told of missing rights what is in truth an expired certificate. The same holds
 * for one whose authority has no revocation list that holds, once there is a file of
 * them: nobody knows then whether it is revoked.
 */
import type { X509Certificate } from 'node:crypto';
import type { SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import type { RevocationList } from './revocation-lists.ts';
import { type Look, lookAt, type Material, type TlsFiles } from './tls-files.ts';

/** What the material is made with. */
export type TlsMaterialOptions = {
  readonly files: TlsFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the files are read again, in milliseconds. Default 10,000. */
  readonly rereadMs?: number;
};

/** How long a TLS handshake may take, in milliseconds; until then a connection costs memory for nothing. */
const handshakeTimeoutMs = 10_000;

/** A set of files that is not used: why, and what it holds where that could be read. */
type Refused = { readonly digest: string; readonly fault: Error; readonly material?: Material };

export class TlsMaterial implements Service {
  readonly #options: TlsMaterialOptions;
  readonly #loop: Loop;
  readonly #listeners = new Set<(context: SecureContextOptions) => void>();
  #current: Material | undefined;
  #currentDigest: string | undefined;
  #refused: Refused | undefined;
  #isRefusalLogged = false;
  #hasWarned = false;
  /** The fingerprints of the lists in use of which the log says that they refuse callers. */
  readonly #toldLists = new Set<string>();
  #starting: Promise<void> | undefined;

  constructor(options: TlsMaterialOptions) {
    this.#options = options;
    const { logger, rereadMs = 10_000 } = options;
    let isFresh = true;
    this.#loop = new Loop({
      clock: options.clock,
      tick: async () => {
        // The first tick follows the start, which has just read them.
        if (!isFresh) await this.reread();
        isFresh = false;
        return rereadMs;
      },
      onError: (error) => logger.error({ error }, 'tls files not read'),
      failedWaitMs: rereadMs,
    });
  }

  /** Reads the files. Rejects with the reason when they cannot be used. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async stop(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    await this.#loop.stop();
  }

  /** What a listener makes its TLS of. Throws before `start` has resolved. */
  get context(): SecureContextOptions {
    if (this.#current === undefined) throw new Error('the TLS files have not been read yet');
    return this.#current.context;
  }

  /** What a TLS server is made with besides the context. Whom it refuses is for `admits` to say. */
  get serverOptions(): TlsOptions {
    const requestCert = this.#options.files.clientCaFile !== undefined;
    return { requestCert, rejectUnauthorized: false, handshakeTimeout: handshakeTimeoutMs };
  }

  /** Calls back with the context whenever it is another one. Returns how to call that off. */
  onChange(listener: (context: SecureContextOptions) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether a caller may go on; false, and a line in the log, for one whose certificate cannot be verified. */
  admits(socket: TLSSocket): boolean {
    if (socket.authorized) return true;
    const shown = socket.getPeerX509Certificate();
    if (shown === undefined) return true;
    const { remoteAddress, authorizationError } = socket;
    this.#options.logger.info(
      { remoteAddress, subject: shown.subject, reason: String(authorizationError) },
      'client certificate refused',
    );
    return false;
  }

  /** Looks at the files once: one tick of the loop. */
  async reread(): Promise<void> {
    const look = await lookAt(this.#options.files);
    if (look.digest === this.#currentDigest) this.#refused = undefined;
    else if (look.digest !== this.#refused?.digest) this.#judge(look);
    else this.#judgeAgain(this.#refused);
    this.#warnOfExpiry();
    this.#tellOfLists();
  }

  async #start(): Promise<void> {
    const look = await lookAt(this.#options.files);
    this.#take(look.digest, look.materialOf());
    await this.#loop.start();
  }

  /** Takes files other than those in use, or notes why not. */
  #judge({ digest, materialOf }: Look): void {
    this.#isRefusalLogged = false;
    let material: Material;
    try {
      material = materialOf();
    } catch (error) {
      this.#refused = { digest, fault: error as Error };
      return;
    }
    const fault = this.#faultOfNew(material);
    if (fault === undefined) this.#take(digest, material);
    else this.#refused = { digest, fault, material };
  }

  /** The same files as at the look before. What is in them may be good by now, as when it was too new. */
  #judgeAgain({ digest, fault: earlier, material }: Refused): void {
    const fault = material ? this.#faultOfNew(material) : earlier;
    if (material && fault === undefined) {
      this.#take(digest, material);
    } else if (!this.#isRefusalLogged) {
      this.#isRefusalLogged = true;
      this.#options.logger.error({ error: fault }, 'new tls files cannot be used, the ones before go on');
    }
  }

  /**
   * What in the files is out of date. What is in use already may be so, because nothing is better, and is no reason
   * to refuse what comes with it; what is new and out of date is a mistake.
   */
  #faultOfNew({ certificate, lists }: Material): Error | undefined {
    const { certificate: used, lists: usedLists = [] } = this.#current ?? {};
    if (certificate.fingerprint256 !== used?.fingerprint256) {
      const fault = this.#faultOfTime(certificate);
      if (fault !== undefined) return fault;
    }
    const known = new Set(usedLists.map(({ fingerprint }) => fingerprint));
    return lists
      .filter(({ fingerprint }) => !known.has(fingerprint))
      .map((list) => this.#faultOfList(list))
      .find((fault) => fault !== undefined);
  }

  #faultOfTime({ validFromDate, validToDate }: X509Certificate): Error | undefined {
    const now = this.#options.clock.now();
    if (validToDate <= now) return new Error(`the certificate has expired at ${validToDate.toISOString()}`);
    if (validFromDate > now)
      return new Error(`the certificate is not valid before ${validFromDate.toISOString()}`);
    return undefined;
  }

  /** Why all certificates of the list's authority are refused. */
  #faultOfList({ issuer, issuedAt, expiresAt }: RevocationList): Error | undefined {
    const now = this.#options.clock.now();
    const list = `the revocation list of ${issuer}`;
    if (expiresAt !== undefined && expiresAt <= now)
      return new Error(`${list} has expired at ${expiresAt.toISOString()}`);
    if (issuedAt > now) return new Error(`${list} does not hold before ${issuedAt.toISOString()}`);
    return undefined;
  }

  #take(digest: string, material: Material): void {
    this.#current = material;
    this.#currentDigest = digest;
    this.#refused = undefined;
    this.#hasWarned = false;
    this.#toldLists.clear();
    const { subject, validTo, fingerprint256 } = material.certificate;
    this.#options.logger.info({ subject, validTo, fingerprint256 }, 'tls certificate in use');
    const fault = this.#faultOfTime(material.certificate);
    // An instance that does not start fires nothing; callers judge the certificate themselves.
    if (fault !== undefined)
      this.#options.logger.error({ error: fault }, 'callers will refuse the tls certificate');
    this.#tellOfLists();
    for (const listener of this.#listeners) listener(material.context);
  }

  /** Says once of each list in use that it refuses callers: it ran out, and nobody has put another. */
  #tellOfLists(): void {
    for (const list of this.#current?.lists ?? []) {
      const fault = this.#toldLists.has(list.fingerprint) ? undefined : this.#faultOfList(list);
      if (fault === undefined) continue;
      this.#toldLists.add(list.fingerprint);
      const { issuer } = list;
      this.#options.logger.error(
        { error: fault, issuer },
        'callers with a certificate of this issuer are refused',
      );
    }
  }

  /** Says once of each certificate that nine tenths of its time are over. */
  #warnOfExpiry(): void {
    if (this.#current === undefined || this.#hasWarned) return;
    const { validFromDate, validToDate, validTo } = this.#current.certificate;
    const leftMs = validToDate.getTime() - this.#options.clock.now().getTime();
    if (leftMs * 10 > validToDate.getTime() - validFromDate.getTime()) return;
    this.#hasWarned = true;
    this.#options.logger.warn({ validTo }, 'the tls certificate expires soon');
  }
}
