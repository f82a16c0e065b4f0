/** Client certificates from a put to what connections show, on a real database. */
import { describe, expect, it } from 'vitest';
import type { Target, TlsOptions } from '../../../src/domain/job.ts';
import type { SecretKind } from '../../../src/domain/secret.ts';
import { certificateFromText } from '../../../src/engine/secrets/client-certificate.ts';
import { ClientCertificates } from '../../../src/engine/secrets/client-certificates.ts';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { SigningKeys } from '../../../src/engine/secrets/signing-keys.ts';
import { caller, refusalOf, useJobDesk } from '../job-desk.ts';
import { HandClock } from '../targets/http/attempt.ts';
import {
  expiredClientCertificate,
  firstBundle,
  firstKey,
  secondBundle,
} from '../targets/http/client-certificates.ts';

const jobs = useJobDesk();
const key = Buffer.alloc(32, 1);
const signing = `whsec_${Buffer.alloc(24, 7).toString('base64')}`;
let names = 0;

const freshName = (): string => `certificate ${names++}`;

class SetClock extends HandClock {
  ms = 0;
  override monotonicMs(): number {
    return this.ms;
  }
}

/** An instance's operations on secrets, and what it shows callees. */
function instance(secretKey = key) {
  const box = new SecretBox([secretKey]);
  const clock = new SetClock();
  const { store } = jobs;
  const certificates = new ClientCertificates({ store, box, clock });
  const keys = new SigningKeys({ store, box, clock });
  const desk = new SecretDesk({ store, box, clock, onChange: (name) => certificates.forget(name) });
  const idOf = (text: string): string => certificateFromText(text, clock.now(), 'value').id;
  return {
    desk,
    clock,
    idOf,
    put: (name: string, value?: string, kind?: SecretKind, keepPreviousMs?: number) =>
      desk.put({ namespace: 'default', name, kind, value, keepPreviousMs }, caller),
    shown: async (name: string) => {
      const found = await certificates.find({ namespace: 'default', name });
      return 'certificate' in found ? found.certificate.id : found.missing;
    },
    keysOf: (name: string) => keys.find({ namespace: 'default', name }),
  };
}

describe('putting a client certificate', () => {
  it('stores it encrypted, and shows when it expires but nothing of it', async () => {
    const { put, desk } = instance();
    const name = freshName();
    const reply = await put(name, firstBundle, 'CLIENT_CERTIFICATE');
    expect(reply).toMatchObject({
      secret: { name, kind: 'CLIENT_CERTIFICATE', expiresAt: new Date('2120-01-01T00:00:00Z') },
      created: true,
      value: undefined,
    });
    const { secrets } = await desk.list('default', { size: 500, token: '' });
    const [row] = await jobs.rows<{ all: string; value: Buffer }>(
      `select s::text as all, value from carillon.secret s where name = '${name}'`,
    );
    for (const line of firstKey.split('\n').filter((each) => each.length > 40)) {
      expect(JSON.stringify([reply, secrets])).not.toContain(line);
      expect(row!.all).not.toContain(line);
      expect(row!.value.toString('latin1')).not.toContain(line);
    }
  });

  it('changes it without a word of its kind, and keeps none before it', async () => {
    const { put, shown, idOf } = instance();
    const name = freshName();
    await put(name, firstBundle, 'CLIENT_CERTIFICATE');
    const changed = await put(name, secondBundle);
    expect(changed).toMatchObject({ created: false, secret: { kind: 'CLIENT_CERTIFICATE' } });
    expect(changed.secret.previousUntilAt).toBeUndefined();
    expect(await shown(name)).toBe(idOf(secondBundle));
    const same = await put(name, secondBundle);
    expect(same.secret).toEqual(changed.secret);
  });

  it('is refused for the kind that another secret of the name has, either way', async () => {
    const { put } = instance();
    const [hook, callee] = [freshName(), freshName()];
    await put(hook, signing);
    await put(callee, firstBundle, 'CLIENT_CERTIFICATE');
    for (const [name, value, kind, present] of [
      [hook, firstBundle, 'CLIENT_CERTIFICATE', 'SIGNING'],
      [callee, signing, 'SIGNING', 'CLIENT_CERTIFICATE'],
    ] as const) {
      const error = await refusalOf(put(name, value, kind));
      expect(error).toMatchObject({
        reason: 'INVALID_ARGUMENT',
        message: `kind: default/${name} is of kind ${present} and stays so`,
        details: { violations: [{ field: 'kind' }] },
      });
    }
  });

  it.each([
    ['without a value', undefined, undefined, 'value', 'must be set'],
    ['with a value that signs', signing, undefined, 'value', 'must hold a certificate'],
    [
      'with an expired one',
      expiredClientCertificate + firstKey,
      undefined,
      'value',
      'has expired at 2020-01-02',
    ],
    ['with a time for the one before', firstBundle, 0, 'keep_previous', 'is for secrets that sign'],
  ])('is refused %s', async (_, value, keepPreviousMs, field, why) => {
    const error = await refusalOf(instance().put(freshName(), value, 'CLIENT_CERTIFICATE', keepPreviousMs));
    expect(error.reason).toBe('INVALID_ARGUMENT');
    expect(error.details.violations).toEqual([{ field, description: expect.stringContaining(why) }]);
  });

  it('tells a certificate that is put for signing what it should be, without repeating it', async () => {
    const error = await refusalOf(instance().put(freshName(), firstBundle));
    expect(error.details.violations).toMatchObject([{ field: 'value' }]);
    expect(JSON.stringify([error.message, error.details])).not.toContain('BEGIN');
  });
});

describe('the certificate that is shown', () => {
  it('is new at once on the instance that changed it, and after five seconds on others', async () => {
    const [first, second] = [instance(), instance()];
    const name = freshName();
    await first.put(name, firstBundle, 'CLIENT_CERTIFICATE');
    expect(await second.shown(name)).toBe(first.idOf(firstBundle));
    await first.put(name, secondBundle);
    expect(await first.shown(name)).toBe(first.idOf(secondBundle));
    expect(await second.shown(name)).toBe(first.idOf(firstBundle));
    second.clock.ms = 5_000;
    expect(await second.shown(name)).toBe(first.idOf(secondBundle));
  });

  it('is missing where there is no such secret, where it is of another kind, and under another key', async () => {
    const { put, shown, keysOf } = instance();
    const [hook, callee] = [freshName(), freshName()];
    await put(hook, signing);
    await put(callee, firstBundle, 'CLIENT_CERTIFICATE');
    expect(await shown('nobody')).toBe('secret');
    expect(await shown(hook)).toBe('secret');
    expect(await keysOf(callee)).toEqual({ missing: 'secret' });
    expect(await instance(Buffer.alloc(32, 2)).shown(callee)).toBe('key');
  });
});

describe('a job', () => {
  const targets: readonly [string, (tls: TlsOptions) => Target][] = [
    ['grpc', (tls) => ({ kind: 'grpc', address: 'a:1', metadata: {}, method: 'a.B/C', tls })],
    ['socket', (tls) => ({ kind: 'socket', host: 'a', port: 1, tls })],
  ];

  it.each(targets)('with a %s target cannot name what does not exist or signs', async (kind, targetWith) => {
    const { put } = instance();
    const hook = freshName();
    await put(hook, signing);
    const field = `job.target.${kind}.tls.client_certificate_secret_name`;
    const missing = await refusalOf(
      jobs.add({ target: targetWith({ clientCertificateSecretName: 'nobody' }) }),
    );
    expect(missing).toMatchObject({
      reason: 'SECRET_NOT_FOUND',
      message: `${field}: no secret default/nobody; put it first`,
      details: { violations: [{ field }] },
    });
    const wrong = await refusalOf(jobs.add({ target: targetWith({ clientCertificateSecretName: hook }) }));
    expect(wrong).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      message: `${field}: needs a secret of kind CLIENT_CERTIFICATE; default/${hook} is of kind SIGNING`,
      details: { violations: [{ field }] },
    });
  });

  it('cannot be signed with a client certificate', async () => {
    const { put } = instance();
    const name = freshName();
    await put(name, firstBundle, 'CLIENT_CERTIFICATE');
    const target: Target = {
      ...({ kind: 'http', url: 'http://127.0.0.1:9/', method: 'POST' } as const),
      ...{ headers: {}, successCodes: [], signingSecretName: name },
    };
    const error = await refusalOf(jobs.add({ target }));
    expect(error.message).toContain('needs a secret of kind SIGNING');
  });

  it.each(targets)(
    'with a %s target keeps the secret that it names from being deleted',
    async (_, targetWith) => {
      const { put, desk } = instance();
      const [name, other] = [freshName(), freshName()];
      for (const each of [name, other]) await put(each, firstBundle, 'CLIENT_CERTIFICATE');
      const { job } = await jobs.add({ target: targetWith({ clientCertificateSecretName: name }) });
      const error = await refusalOf(desk.delete('default', name, caller));
      expect(error).toMatchObject({
        reason: 'SECRET_IN_USE',
        message: `secret default/${name} is used by default/default/${job.key.name}`,
      });
      const target = targetWith({ clientCertificateSecretName: other });
      await jobs.desk.update({ job: { id: job.id }, changes: { target }, etag: '' }, caller);
      expect(await desk.delete('default', name, caller)).toEqual({ existed: true });
      expect((await refusalOf(desk.delete('default', other, caller))).reason).toBe('SECRET_IN_USE');
    },
  );
});
