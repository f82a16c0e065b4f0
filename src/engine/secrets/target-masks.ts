import type { Target } from '../../domain/job.ts';
import { type AnswerMask, formsOfKey, maskOf } from './answer-mask.ts';
import type { FindSecretText } from './secret-texts.ts';
import type { FindSigningKeys } from './signing-keys.ts';

export type TargetMasksOptions = {
  readonly findSigningKeys: FindSigningKeys;
  readonly findSecretText: FindSecretText;
};

/**
 * The masks of attempts that report later, on whatever instance. What the
 * delivery had in hand is found again, which costs nothing while it, or that
 * there is no key for it, is among the opened secrets. A secret that was changed since, or that this instance
 * has no key for, is not masked as it was.
 */
export class TargetMasks {
  readonly #options: TargetMasksOptions;

  constructor(options: TargetMasksOptions) {
    this.#options = options;
  }

  /** The mask of an attempt at a target, or of one whose target is not known any more; rejects when the database cannot be asked. */
  async find(target: Target | undefined, namespace: string, attemptToken: string): Promise<AnswerMask> {
    if (target?.kind !== 'http') return maskOf(attemptToken);
    const { signingSecretName, secretHeaders = {} } = target;
    const names = new Set(Object.values(secretHeaders));
    if (signingSecretName === undefined && names.size === 0) return maskOf(attemptToken);
    const { findSigningKeys, findSecretText } = this.#options;
    const [signing, ...texts] = await Promise.all([
      signingSecretName === undefined ? undefined : findSigningKeys({ namespace, name: signingSecretName }),
      ...[...names].map((name) => findSecretText({ namespace, name })),
    ]);
    const keys = signing && 'keys' in signing ? signing.keys : [];
    return maskOf(attemptToken, [
      ...texts.flatMap((found) => ('text' in found ? found.text.forms : [])),
      ...keys.flatMap(formsOfKey),
    ]);
  }
}
