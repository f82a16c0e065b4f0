import { formsOf, type MaskedValue } from './answer-mask.ts';
import { type MissingSecret, OpenedSecrets, type OpenedSecretsOptions } from './opened-secrets.ts';
import type { SecretName } from './secret-box.ts';

/** The value of a header that is a secret. It is kept so that no log shows it. */
export class SecretText {
  readonly #value: string;
  readonly #forms: readonly MaskedValue[];

  constructor(value: string) {
    this.#value = value;
    this.#forms = formsOf(value);
  }

  /** What is sent. */
  get value(): string {
    return this.#value;
  }

  /** What is masked of it in answers. */
  get forms(): readonly MaskedValue[] {
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
