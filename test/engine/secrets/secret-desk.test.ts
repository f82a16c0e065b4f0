/** Secrets from a put to the keys that sign, on a real database. */
import { describe, expect, it } from 'vitest';
import type { HttpTarget } from '../../../src/domain/job.ts';
import { secretBytesFromText } from '../../../src/domain/secret.ts';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { SigningKeys } from '../../../src/engine/secrets/signing-keys.ts';
import { caller, refusalOf, useJobDesk } from '../job-desk.ts';
import { HandClock } from '../targets/http/attempt.ts';

const jobs = useJobDesk();
const [key, newKey] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
const hour = 3_600_000;
let names = 0;

const bytesOf = (byte: number): Buffer => Buffer.alloc(24, byte);
const textOf = (byte: number): string => `whsec_${bytesOf(byte).toString('base64')}`;

/** A clock whose monotonic time is set by hand. */
class SetClock extends HandClock {
  ms = 0;
  override monotonicMs(): number {
    return this.ms;
  }
}

/** An instance's operations on secrets with these keys, and the keys that it signs with. */
function instance(...keys: Buffer[]) {
  const box = new SecretBox(keys);
  const clock = new SetClock();
  const { store } = jobs;
  let loads = 0;
  const counting = {
    ...store,
    secrets: {
      ...store.secrets,
      load: (...args: Parameters<typeof store.secrets.load>) => {
        loads++;
        return store.secrets.load(...args);
      },
    } as typeof store.secrets,
  };
  const signing = new SigningKeys({ store: counting, box, clock });
  const desk = new SecretDesk({ store, box, clock, onChange: (name) => signing.forget(name) });
  return {
    desk,
    clock,
    loads: () => loads,
    find: async (name: string, namespace = 'default') => {
      const found = await signing.find({ namespace, name });
      return 'keys' in found ? { keys: found.keys.map((each) => each.export()) } : found;
    },
    put: (name: string, value?: string, keepPreviousMs = hour) =>
      desk.put({ namespace: 'default', name, value, keepPreviousMs }, caller),
  };
}

const freshName = (): string => `secret ${names++}`;

describe('putting a secret', () => {
  it('stores it encrypted, and shows it to nobody', async () => {
    const { put, desk } = instance(key);
    const name = freshName();
    const reply = await put(name, textOf(7));
    expect(reply).toEqual({
      secret: {
        ...{ namespace: 'default', name, kind: 'SIGNING' },
        ...{ createdAt: expect.any(Date), updatedAt: expect.any(Date) },
      },
      created: true,
      value: undefined,
    });
    await put(name, textOf(8));
    const { secrets } = await desk.list('default', { size: 50, token: '' });
    expect(Object.keys(secrets.find((each) => each.name === name)!).sort()).toEqual(
      ['namespace', 'name', 'kind', 'createdAt', 'updatedAt', 'previousUntilAt', 'expiresAt'].sort(),
    );
    const [row] = await jobs.rows<{ all: string; value: Buffer; previous: Buffer }>(
      `select s::text as all, value, previous_value as previous from carillon.secret s where name = '${name}'`,
    );
    for (const byte of [7, 8]) {
      const value = bytesOf(byte);
      for (const text of [value.toString('hex'), value.toString('base64'), value.toString('latin1')]) {
        expect(row!.all).not.toContain(text);
      }
    }
    const box = new SecretBox([key]);
    expect(box.open({ namespace: 'default', name }, row!.value)).toEqual(bytesOf(8));
    expect(box.open({ namespace: 'default', name }, row!.previous)).toEqual(bytesOf(7));
  });

  it('generates a value of 32 bytes where none is given, and shows it this once', async () => {
    const { put, find } = instance(key);
    const name = freshName();
    const { value } = await put(name);
    const bytes = secretBytesFromText(value!, 'value');
    expect(bytes).toHaveLength(32);
    expect(await find(name)).toEqual({ keys: [bytes] });
    expect((await put(freshName())).value).not.toBe(value);
  });

  it('keeps the value before for the stated time, and one at most', async () => {
    const { put, find } = instance(key);
    const name = freshName();
    await put(name, textOf(1));
    const { secret, created } = await put(name, textOf(2), hour);
    expect(created).toBe(false);
    expect(secret.previousUntilAt!.getTime() - secret.updatedAt.getTime()).toBe(hour);
    expect(await find(name)).toEqual({ keys: [bytesOf(2), bytesOf(1)] });
    await put(name, textOf(3));
    expect(await find(name)).toEqual({ keys: [bytesOf(3), bytesOf(2)] });
    await jobs.rows(`update carillon.secret set previous_until = now() where name = '${name}'`);
    expect(await instance(key).find(name)).toEqual({ keys: [bytesOf(3)] });
  });

  it('ends the value before at once with a time of 0', async () => {
    const { put, find } = instance(key);
    const name = freshName();
    await put(name, textOf(1));
    expect((await put(name, textOf(2), 0)).secret.previousUntilAt).toBeUndefined();
    expect(await find(name)).toEqual({ keys: [bytesOf(2)] });
  });

  it('of the value that it has moves nothing, but encrypts it under the first key', async () => {
    const name = freshName();
    const before = instance(key);
    await before.put(name, textOf(1));
    const changed = await before.put(name, textOf(2));
    const again = await instance(newKey, key).put(name, textOf(2));
    expect(again.secret).toEqual(changed.secret);
    expect(await instance(newKey).find(name)).toEqual({ keys: [bytesOf(2)] });
    expect(await instance(newKey, key).find(name)).toEqual({ keys: [bytesOf(2), bytesOf(1)] });
  });

  it('makes one of two that come at once, and the other one a change', async () => {
    const { put } = instance(key);
    const name = freshName();
    const made = await Promise.all([put(name, textOf(1)), put(name, textOf(2))]);
    expect(made.map(({ created }) => created).sort()).toEqual([false, true]);
  });

  it('is refused without CARILLON_SECRET_KEY, which the error names', async () => {
    const name = freshName();
    const error = await refusalOf(instance().put(name, textOf(1)));
    expect(error.reason).toBe('SECRET_KEY_MISSING');
    expect(error.message).toContain('CARILLON_SECRET_KEY');
    expect(error.details.precondition).toMatchObject({ subject: 'CARILLON_SECRET_KEY' });
    expect(await instance(key).find(name)).toEqual({ missing: 'secret' });
  });

  it.each([
    ['is no base64', 'whsec_*****************************************'],
    ['is too short', `whsec_${Buffer.alloc(23).toString('base64')}`],
    ['is too long', Buffer.alloc(65).toString('base64')],
    ['is of another kind', 'whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
  ])('is refused for a value that %s, without repeating it', async (_, value) => {
    const error = await refusalOf(instance(key).put(freshName(), value));
    expect(error.details.violations).toMatchObject([{ field: 'value' }]);
    expect(JSON.stringify([error.message, error.details])).not.toContain(value);
  });
});

describe('the keys that sign', () => {
  it('are read once for some seconds, also where a thousand attempts ask', async () => {
    const { put, find, loads, clock } = instance(key);
    const name = freshName();
    await put(name, textOf(1));
    await Promise.all(Array.from({ length: 1_000 }, () => find(name)));
    expect(loads()).toBe(1);
    clock.ms = 4_999;
    await find(name);
    expect(loads()).toBe(1);
    clock.ms = 5_000;
    await find(name);
    expect(loads()).toBe(2);
  });

  it('are new at once on the instance that changed them, and after five seconds on others', async () => {
    const [first, second] = [instance(key), instance(key)];
    const name = freshName();
    await first.put(name, textOf(1));
    await second.find(name);
    await first.put(name, textOf(2), 0);
    expect(await first.find(name)).toEqual({ keys: [bytesOf(2)] });
    expect(await second.find(name)).toEqual({ keys: [bytesOf(1)] });
    second.clock.ms = 5_000;
    expect(await second.find(name)).toEqual({ keys: [bytesOf(2)] });
  });

  it('are those of the namespace', async () => {
    const { put, find } = instance(key);
    const name = freshName();
    await put(name, textOf(1));
    expect(await find(name, 'other')).toEqual({ missing: 'secret' });
  });

  it('are missing under another key, which a later look may find', async () => {
    const name = freshName();
    await instance(key).put(name, textOf(1));
    expect(await instance(newKey).find(name)).toEqual({ missing: 'key' });
    expect(await instance().find(name)).toEqual({ missing: 'key' });
  });

  it('are asked for once in some seconds where they are missing under another key, and new at once when put', async () => {
    const name = freshName();
    await instance(key).put(name, textOf(1));
    const { find, put, loads, clock } = instance(newKey);
    for (let n = 0; n < 3; n++) expect(await find(name)).toEqual({ missing: 'key' });
    expect(loads()).toBe(1);
    clock.ms = 5_000;
    await find(name);
    expect(loads()).toBe(2);
    await put(name, textOf(2));
    expect(await find(name)).toEqual({ keys: [bytesOf(2)] });
  });

  it('are asked for each time where there is no secret, which may be put elsewhere any moment', async () => {
    const name = freshName();
    const { find } = instance(key);
    expect(await find(name)).toEqual({ missing: 'secret' });
    await instance(key).put(name, textOf(1));
    expect(await find(name)).toEqual({ keys: [bytesOf(1)] });
  });
});

describe('a job', () => {
  const signedBy = (signingSecretName: string): HttpTarget => ({
    kind: 'http',
    url: 'http://127.0.0.1:9/',
    method: 'POST',
    headers: {},
    successCodes: [],
    signingSecretName,
  });

  it('cannot name a secret that does not exist', async () => {
    const error = await refusalOf(jobs.add({ target: signedBy('nobody') }));
    expect(error).toMatchObject({
      reason: 'SECRET_NOT_FOUND',
      message: 'job.target.http.signing_secret_name: no secret default/nobody; put it first',
      details: { violations: [{ field: 'job.target.http.signing_secret_name' }] },
    });
  });

  it('cannot be changed to name one, and stays as it was', async () => {
    const id = await jobs.addId();
    const target = signedBy('nobody');
    const error = await refusalOf(jobs.desk.update({ job: { id }, changes: { target }, etag: '' }, caller));
    expect(error.reason).toBe('SECRET_NOT_FOUND');
    expect((await jobs.jobOf(id)).target).not.toHaveProperty('signingSecretName');
  });

  it('keeps the secret that it names from being deleted, until it is deleted itself', async () => {
    const { put, desk } = instance(key);
    const name = freshName();
    await put(name);
    const { job } = await jobs.add({ target: signedBy(name) });
    const error = await refusalOf(desk.delete('default', name, caller));
    expect(error).toMatchObject({
      reason: 'SECRET_IN_USE',
      message: `secret default/${name} is used by default/default/${job.key.name}`,
      details: { metadata: { job_count: '1' }, precondition: { type: 'SECRET_IN_USE' } },
    });
    await jobs.desk.delete({ job: { id: job.id } }, 'LEAVE', caller);
    expect(await desk.delete('default', name, caller)).toEqual({ existed: true });
    expect(await desk.delete('default', name, caller)).toEqual({ existed: false });
  });
});

it('lists the secrets of a namespace by name, page by page', async () => {
  const { desk } = instance(key);
  const namespace = 'listed';
  for (const name of ['c', 'a', 'b']) await desk.put({ namespace, name, keepPreviousMs: 0 }, caller);
  const first = await desk.list(namespace, { size: 2, token: '' });
  expect(first.secrets.map(({ name }) => name)).toEqual(['a', 'b']);
  const last = await desk.list(namespace, { size: 2, token: first.nextPageToken });
  expect(last).toMatchObject({ secrets: [{ name: 'c' }], nextPageToken: '' });
  expect((await refusalOf(desk.list('other', { size: 2, token: first.nextPageToken }))).reason).toBe(
    'INVALID_PAGE_TOKEN',
  );
});
