/** Values of headers from a put to what is sent, on a real database. */
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Target } from '../../../src/domain/job.ts';
import type { SecretKind } from '../../../src/domain/secret.ts';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { SecretTexts } from '../../../src/engine/secrets/secret-texts.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { caller, refusalOf, useJobDesk } from '../job-desk.ts';

const jobs = useJobDesk();
let names = 0;

const freshName = (): string => `text ${names++}`;

/** An instance's operations on secrets, and the texts that it sends. */
function instance() {
  const box = new SecretBox([Buffer.alloc(32, 1)]);
  const { store } = jobs;
  const texts = new SecretTexts({ store, box, clock: systemClock });
  const desk = new SecretDesk({ store, box, clock: systemClock, onChange: (name) => texts.forget(name) });
  return {
    desk,
    find: (name: string) => texts.find({ namespace: 'default', name }),
    put: (name: string, value?: string, kind?: SecretKind, keepPreviousMs?: number) =>
      desk.put({ namespace: 'default', name, kind, value, keepPreviousMs }, caller),
    sent: async (name: string) => {
      const found = await texts.find({ namespace: 'default', name });
      return 'text' in found ? found.text.value : found.missing;
    },
  };
}

describe('putting a text', () => {
  it.each(['a', 'Bearer eyJ.x-_~+/=', '!"#\\', `a${' '.repeat(8_190)}b`])(
    'stores %j encrypted',
    async (value) => {
      const { put, sent, desk } = instance();
      const name = freshName();
      const reply = await put(name, value, 'TEXT');
      expect(reply).toMatchObject({ created: true, value: undefined, secret: { kind: 'TEXT' } });
      expect(await sent(name)).toBe(value);
      const [row] = await jobs.rows<{ value: Buffer; all: string }>(
        `select s::text as all, value from carillon.secret s where name = '${name}'`,
      );
      expect(row!.value.includes(value) && value.length > 1).toBe(false);
      const shown = JSON.stringify([reply, await desk.list('default', { size: 500, token: '' })]);
      if (value.length > 1) expect(shown + row!.all).not.toContain(value);
    },
  );

  it('changes it without a word of its kind, and keeps none before it', async () => {
    const { put, sent } = instance();
    const name = freshName();
    await put(name, 'first', 'TEXT');
    const changed = await put(name, 'second');
    expect(changed).toMatchObject({ created: false, secret: { kind: 'TEXT', previousUntilAt: undefined } });
    expect(await sent(name)).toBe('second');
    expect((await put(name, 'second')).secret).toEqual(changed.secret);
  });

  it.each([
    ['without a value', undefined, undefined, 'value', 'must be set; a text is not generated'],
    ['of two lines', 'marked\r\nX-Admin: 1', undefined, 'value', 'one line of visible ASCII'],
    ['with a control', 'marked\0', undefined, 'value', 'one line of visible ASCII'],
    ['with a tab', 'a\tmarked', undefined, 'value', 'one line of visible ASCII'],
    ['that is not ASCII', 'marked ö', undefined, 'value', 'one line of visible ASCII'],
    ['with a blank at its beginning', ' marked', undefined, 'value', 'one line of visible ASCII'],
    ['with a blank at its end', 'marked ', undefined, 'value', 'one line of visible ASCII'],
    ['of more than 8,192 characters', 'marked '.repeat(1_171), undefined, 'value', 'at most 8192 characters'],
    ['with a time for the one before', 'marked', 0, 'keep_previous', 'of a text none is kept'],
  ])('is refused %s, without repeating it', async (_, value, keepPreviousMs, field, why) => {
    const error = await refusalOf(instance().put(freshName(), value, 'TEXT', keepPreviousMs));
    expect(error.reason).toBe('INVALID_ARGUMENT');
    expect(error.details.violations).toEqual([{ field, description: expect.stringContaining(why) }]);
    expect(JSON.stringify([error.message, error.details])).not.toContain('marked');
  });

  it('is refused where the name has another kind, either way', async () => {
    const { put } = instance();
    const [hook, text] = [freshName(), freshName()];
    await put(hook);
    await put(text, 'value', 'TEXT');
    expect((await refusalOf(put(hook, 'value', 'TEXT'))).message).toContain(
      'is of kind SIGNING and stays so',
    );
    expect((await refusalOf(put(text, undefined, 'SIGNING'))).message).toContain(
      'is of kind TEXT and stays so',
    );
  });
});

it('shows itself in no log', async () => {
  const { put, find } = instance();
  const name = freshName();
  await put(name, 'marked value', 'TEXT');
  const found = await find(name);
  expect('text' in found).toBe(true);
  expect(JSON.stringify(found) + inspect(found, { depth: 9, showHidden: true })).not.toContain('marked');
});

it('is not found under the name of a secret of another kind', async () => {
  const { put, sent } = instance();
  const name = freshName();
  await put(name);
  expect(await sent(name)).toBe('secret');
});

describe('a job', () => {
  const http = (secretHeaders: Record<string, string>): Target => ({
    kind: 'http',
    url: 'http://127.0.0.1:9/',
    method: 'POST',
    headers: {},
    successCodes: [],
    secretHeaders,
  });
  const grpc = (secretMetadata: Record<string, string>): Target => ({
    kind: 'grpc',
    address: 'a:1',
    metadata: {},
    method: 'a.B/C',
    secretMetadata,
  });

  it.each([
    ['http.secret_headers', http],
    ['grpc.secret_metadata', grpc],
  ])('cannot name in %s a secret that does not exist, or one of another kind', async (field, target) => {
    const { put } = instance();
    const [text, hook] = [freshName(), freshName()];
    await put(text, 'value', 'TEXT');
    await put(hook);
    const missing = await refusalOf(jobs.add({ target: target({ 'x-a': text, 'x-b': 'nobody' }) }));
    expect(missing).toMatchObject({
      reason: 'SECRET_NOT_FOUND',
      message: `job.target.${field}["x-b"]: no secret default/nobody; put it first`,
      details: { violations: [{ field: `job.target.${field}["x-b"]` }] },
    });
    const other = await refusalOf(jobs.add({ target: target({ 'x-a': text, 'x-b': hook }) }));
    expect(other).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      message: `job.target.${field}["x-b"]: needs a secret of kind TEXT; default/${hook} is of kind SIGNING`,
    });
    const id = await jobs.addId();
    const changes = { target: target({ 'x-b': 'nobody' }) };
    const edited = await refusalOf(jobs.desk.update({ job: { id }, changes, etag: '' }, caller));
    expect(edited.reason).toBe('SECRET_NOT_FOUND');
  });

  it.each([
    ['header', http],
    ['metadata', grpc],
  ])('keeps the secret of a %s from being deleted, until it names another', async (_, target) => {
    const { put, desk } = instance();
    const [first, second] = [freshName(), freshName()];
    await put(first, 'value', 'TEXT');
    await put(second, 'value', 'TEXT');
    const { job } = await jobs.add({ target: target({ 'x-a': first }) });
    expect((await refusalOf(desk.delete('default', first, caller))).reason).toBe('SECRET_IN_USE');
    const changes = { target: target({ 'x-a': second }) };
    await jobs.desk.update({ job: { id: job.id }, changes, etag: '' }, caller);
    expect(await desk.delete('default', first, caller)).toEqual({ existed: true });
    expect((await refusalOf(desk.delete('default', second, caller))).reason).toBe('SECRET_IN_USE');
  });
});
