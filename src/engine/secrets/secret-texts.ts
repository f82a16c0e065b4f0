import { formsOf } from './answer-mask.ts';
import { type MissingSecret, OpenedSecrets, type OpenedSecretsOptions } from './opened-secrets.ts';
import type { SecretName } from './secret-box.ts';

/** The value of a header that is a secret. It is kept so that no log shows it. */
export class SecretText {
  readonly #value: string;
  readonly #forms: readonly string[];

  constructor(value: string) {
    this.#value = value;
    this.#forms = formsOf(value);
  }

  /** What is sent. */
  get value(): string {
    return this.#value;
  }

  /** In what forms it is masked in answers. */
  get forms(): readonly string[] {
    return this.#forms;
  }
}

/** Finds the text of a secret, or tells why there is none. */
export type FindSecretText = (name: SecretName) => Promise<{ readonly text: SecretText } | MissingSecret>;

/** The texts that callees are sent in headers and metadata. */
export class SecretTexts extends OpenedSecrets<{ readonly text: SecretText }> {
  constructor(options: OpenedSecretsOptions) {
    super('TEXT', (value) => ({ text: new SecretText(value.toString('latin1')) }), options);
  }
}
