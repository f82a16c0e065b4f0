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
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { Loop } from '../platform/loop.ts';
import type { Service } from '../platform/service.ts';
import { type RevocationList, revocationListsFrom } from './revocation-lists.ts';

/** Where the material is, all of it PEM. */
export type TlsFiles = {
  /** The certificate of the listeners, and those of the authorities between it and one that callers trust. */
  readonly certFile: string;
  /** Its private key, without a passphrase. */
  readonly keyFile: string;
  /** The authorities whose client certificates are accepted. Without it callers are not asked for one. */
  readonly clientCaFile?: string | undefined;
  /** The revocation lists of these authorities, one of each. Without it no certificate counts as revoked. */
  readonly clientCrlFile?: string | undefined;
};

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

/** What was read at one time and fits together. */
type Material = {
  readonly context: SecureContextOptions;
  readonly certificate: X509Certificate;
  readonly lists: readonly RevocationList[];
};

/** What one look at the files gave: the material, or why there is none. The digest tells looks apart. */
type Look = { readonly digest: string } & ({ readonly material: Material } | { readonly fault: Error });

export class TlsMaterial implements Service {
  readonly #options: TlsMaterialOptions;
  readonly #loop: Loop;
  readonly #listeners = new Set<(context: SecureContextOptions) => void>();
  #current: Material | undefined;
  #currentDigest: string | undefined;
  #badDigest: string | undefined;
  #isBadLogged = false;
  #hasWarned = false;
  #hasToldOfLists = false;
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
    if (look.digest === this.#currentDigest) {
      this.#badDigest = undefined;
    } else {
      const fault =
        'fault' in look
          ? look.fault
          : (this.#faultOfTime(look.material.certificate) ?? this.#faultOfLists(look.material.lists));
      if (fault !== undefined) this.#noteFault(look.digest, fault);
      else if ('material' in look) this.#take(look.digest, look.material);
    }
    this.#warnOfExpiry();
    this.#tellOfLists();
  }

  async #start(): Promise<void> {
    const look = await lookAt(this.#options.files);
    if ('fault' in look) throw look.fault;
    this.#take(look.digest, look.material);
    await this.#loop.start();
  }

  /** The one in use may be out of date, because nothing is better; a new one that is out of date is a mistake. */
  #faultOfTime({ validFromDate, validToDate }: X509Certificate): Error | undefined {
    const now = this.#options.clock.now();
    if (validToDate <= now) return new Error(`the certificate has expired at ${validToDate.toISOString()}`);
    if (validFromDate > now)
      return new Error(`the certificate is not valid before ${validFromDate.toISOString()}`);
    return undefined;
  }

  /** Why all certificates of an authority are refused; a new list that holds no longer is a mistake like a certificate. */
  #faultOfLists(lists: readonly RevocationList[]): Error | undefined {
    const now = this.#options.clock.now();
    for (const { issuedAt, expiresAt } of lists) {
      if (expiresAt !== undefined && expiresAt <= now)
        return new Error(`a revocation list has expired at ${expiresAt.toISOString()}`);
      if (issuedAt > now)
        return new Error(`a revocation list does not hold before ${issuedAt.toISOString()}`);
    }
    return undefined;
  }

  #noteFault(digest: string, fault: Error): void {
    if (digest !== this.#badDigest) {
      this.#badDigest = digest;
      this.#isBadLogged = false;
    } else if (!this.#isBadLogged) {
      this.#isBadLogged = true;
      this.#options.logger.error({ error: fault }, 'new tls files cannot be used, the ones before go on');
    }
  }

  #take(digest: string, material: Material): void {
    this.#current = material;
    this.#currentDigest = digest;
    this.#badDigest = undefined;
    this.#hasWarned = false;
    this.#hasToldOfLists = false;
    const { subject, validTo, fingerprint256 } = material.certificate;
    this.#options.logger.info({ subject, validTo, fingerprint256 }, 'tls certificate in use');
    const fault = this.#faultOfTime(material.certificate);
    // An instance that does not start fires nothing; callers judge the certificate themselves.
    if (fault !== undefined)
      this.#options.logger.error({ error: fault }, 'callers will refuse the tls certificate');
    this.#tellOfLists();
    for (const listener of this.#listeners) listener(material.context);
  }

  /** Says once that the lists in use refuse callers: theirs run out, because nobody has put new ones. */
  #tellOfLists(): void {
    const fault = this.#hasToldOfLists ? undefined : this.#faultOfLists(this.#current?.lists ?? []);
    if (fault === undefined) return;
    this.#hasToldOfLists = true;
    this.#options.logger.error({ error: fault }, 'callers with a certificate are refused');
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

async function lookAt({ certFile, keyFile, clientCaFile, clientCrlFile }: TlsFiles): Promise<Look> {
  const digest = createHash('sha256');
  const read = async (path: string, what: string): Promise<string> => {
    try {
      const text = await readFile(path, 'utf8');
      digest.update(`${text.length}:${text}`);
      return text;
    } catch (error) {
      const fault = new Error(`the ${what} cannot be read: ${(error as Error).message}`, { cause: error });
      digest.update(fault.message);
      throw fault;
    }
  };
  try {
    const cert = await read(certFile, 'certificate file of TLS');
    const key = await read(keyFile, 'key file of TLS');
    const ca = clientCaFile === undefined ? undefined : await read(clientCaFile, 'client CA file of TLS');
    const crl = clientCrlFile === undefined ? undefined : await read(clientCrlFile, 'client CRL file of TLS');
    const certificate = certificateOf(cert, certFile);
    const privateKey = privateKeyOf(key, keyFile);
    if (!certificate.checkPrivateKey(privateKey)) {
      throw new Error(`the key in ${keyFile} is not that of the first certificate in ${certFile}`);
    }
    if (ca !== undefined) checkAuthorities(ca, clientCaFile ?? '');
    const lists = crl === undefined ? [] : revocationListsFrom(crl, clientCrlFile ?? '');
    const context: SecureContextOptions = {
      cert,
      key,
      ...(ca === undefined ? {} : { ca }),
      ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
      minVersion: 'TLSv1.2',
    };
    checkContext(context);
    return { digest: digest.digest('hex'), material: { context, certificate, lists } };
  } catch (error) {
    return { digest: digest.digest('hex'), fault: error as Error };
  }
}

function certificateOf(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`there is no certificate in PEM in ${path}`, { cause: error });
  }
}

function privateKeyOf(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    // The error of an encrypted key asks for its passphrase, and nobody could answer at a reload.
    throw new Error(`there is no private key in PEM without a passphrase in ${path}`, { cause: error });
  }
}

/** OpenSSL passes over what it cannot read, and would then trust nobody. */
function checkAuthorities(pem: string, path: string): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error(`there is no certificate in PEM in ${path}`);
  for (const [i, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw new Error(`the certificate number ${i + 1} in ${path} cannot be read`, { cause: error });
    }
  }
}

function checkContext(context: SecureContextOptions): void {
  try {
    createSecureContext(context);
  } catch (error) {
    throw new Error(`TLS does not take the certificate and its key: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
