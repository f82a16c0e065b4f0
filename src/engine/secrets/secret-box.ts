/**
 * Secrets at rest: AES-256-GCM under the keys of CARILLON_SECRET_KEY.
 *
 * A sealed value is a version byte (1), a nonce of 12 random bytes, the tag of
 * 16 bytes, and the ciphertext. The namespace and name of the secret are bound
 * to it, so that whoever can write to the table cannot make one secret pass for
 * another. The first key seals; all of them open, so that keys change over: what
 * is under another key than the first is sealed anew (secret-resealing.ts).
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;

/** Which secret a value belongs to. */
export type SecretName = { readonly namespace: string; readonly name: string };

export class SecretBox {
  readonly #keys: readonly Uint8Array[];

  /** Each key has 32 bytes; without any, nothing can be sealed or opened. */
  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys;
  }

  /** Whether there is a key to seal with. */
  get canSeal(): boolean {
    return this.#keys.length > 0;
  }

  /** What tells the keys apart and tells nothing of them, in their order. */
  get keyIds(): readonly string[] {
    return this.#keys.map((key) =>
      createHash('sha256').update('carillon.secret-key:').update(key).digest('hex').slice(0, 16),
    );
  }

  /** Encrypts a value under the first key. */
  seal(name: SecretName, value: Buffer): Buffer {
    const [key] = this.#keys;
    if (!key) throw new Error('there is no key to keep secrets under');
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
    cipher.setAAD(boundTo(name));
    const ciphertext = Buffer.concat([cipher.update(value), cipher.final()]);
    return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), ciphertext]);
  }

  /** Decrypts a value; undefined when no key fits, or when it is another secret's or damaged. */
  open(name: SecretName, sealed: Buffer): Buffer | undefined {
    return this.find(name, sealed)?.value;
  }

  /** The same, with the place of the key that fits, from 0. */
  find(name: SecretName, sealed: Buffer): { readonly value: Buffer; readonly key: number } | undefined {
    if (sealed.length < 1 + nonceBytes + tagBytes || sealed[0] !== version) return undefined;
    const nonce = sealed.subarray(1, 1 + nonceBytes);
    const tag = sealed.subarray(1 + nonceBytes, 1 + nonceBytes + tagBytes);
    const ciphertext = sealed.subarray(1 + nonceBytes + tagBytes);
    for (const [key, bytes] of this.#keys.entries()) {
      const decipher = createDecipheriv('aes-256-gcm', bytes, nonce, { authTagLength: tagBytes });
      decipher.setAAD(boundTo(name)).setAuthTag(tag);
      const value = decipher.update(ciphertext);
      try {
        return { value: Buffer.concat([value, decipher.final()]), key };
      } catch {
        // The tag does not fit: another key may.
      }
    }
    return undefined;
  }
}

const boundTo = ({ namespace, name }: SecretName): Buffer =>
  Buffer.from(JSON.stringify(['carillon.secret', namespace, name]));
