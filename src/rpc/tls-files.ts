/**
 * The files of TLS: what they hold at one time, and what that is to listeners.
 *
 * Looking at them is cheap and tells only whether they hold something else;
 * reading what they hold is not: with a revocation list of 100,000 entries a look
 * takes 10 ms, and reading keeps the process busy for 230 ms.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { pemBlocksOf } from './pem-blocks.ts';
import { checkLists, type RevocationList, revocationListsFrom } from './revocation-lists.ts';

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

/** What was read at one time and fits together. */
export type Material = {
  readonly context: SecureContextOptions;
  readonly certificate: X509Certificate;
  readonly lists: readonly RevocationList[];
};

/** One look at the files; the digest tells looks apart. */
export type Look = {
  readonly digest: string;
  /** What the files hold, read. Throws when a file was not there, or when they hold nothing that can be used. */
  readonly materialOf: () => Material;
};

/** Looks at the files. */
export async function lookAt(files: TlsFiles): Promise<Look> {
  const { certFile, keyFile, clientCaFile, clientCrlFile } = files;
  const digest = createHash('sha256');
  const read = async (path: string, what: string): Promise<Buffer> => {
    try {
      const content = await readFile(path);
      digest.update(`${content.length}:`).update(content);
      return content;
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
    return {
      digest: digest.digest('hex'),
      materialOf: () =>
        materialFrom(
          { cert: String(cert), key: String(key), ca: ca?.toString(), crl: crl?.toString() },
          files,
        ),
    };
  } catch (error) {
    return {
      digest: digest.digest('hex'),
      materialOf: () => {
        throw error;
      },
    };
  }
}

/** What the files hold. */
type Texts = {
  readonly cert: string;
  readonly key: string;
  readonly ca: string | undefined;
  readonly crl: string | undefined;
};

function materialFrom({ cert, key, ca, crl }: Texts, files: TlsFiles): Material {
  const { certFile, keyFile, clientCaFile = '', clientCrlFile = '' } = files;
  const certificate = certificateOf(cert, certFile);
  const privateKey = privateKeyOf(key, keyFile);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`the key in ${keyFile} is not that of the first certificate in ${certFile}`);
  }
  if (ca !== undefined) checkAuthorities(ca, clientCaFile);
  const lists = crl === undefined ? [] : revocationListsFrom(crl, clientCrlFile);
  const context: SecureContextOptions = {
    cert,
    key,
    ...(ca === undefined ? {} : { ca }),
    ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
    minVersion: 'TLSv1.2',
  };
  try {
    checkContext(context);
  } catch (error) {
    checkLists(lists, clientCrlFile);
    throw error;
  }
  return { context, certificate, lists };
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
  const blocks = pemBlocksOf(pem, 'CERTIFICATE', path);
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
