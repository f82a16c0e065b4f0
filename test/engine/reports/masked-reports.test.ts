/** What callees report of what their attempts were delivered with. */
import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SecretText } from '../../../src/engine/secrets/secret-texts.ts';
import { endReport, linesOf, useStoredAttempts } from './stored-attempts.ts';

const attempts = useStoredAttempts();
const { accepted } = attempts;

describe('lines and results that a callee reports', () => {
  it('have what the attempt was delivered with masked: its token, and the secrets of its target', async () => {
    const key = createSecretKey(Buffer.alloc(32, 1));
    const { desk } = attempts.parts({
      findSigningKeys: async () => ({ keys: [key] }),
      findSecretText: async () => ({ text: new SecretText('Bearer marked-token') }),
    });
    const attempt = await attempts.begin({
      target: {
        ...{ kind: 'http', url: 'http://127.0.0.1:9/', method: 'POST', headers: {}, successCodes: [] },
        ...{ signingSecretName: 'hook', secretHeaders: { Authorization: 'crm', 'X-Key': 'crm' } },
      },
    });
    await attempts.handOver(attempt);
    const { token } = attempt;
    const told = `Bearer marked-token ${key.export().toString('base64')} ${token}`;
    const long = `${'x'.repeat(65_530)}marked-token`;
    const lines = [{ level: 'INFO' as const, message: told, data: { [token]: told } }, ...linesOf(long)];
    await desk.appendLogs({ token, lines });
    const stored = await attempts.rows<{ message: string; data: unknown }>(
      `select message, data from carillon.log_entry where execution_id = ${attempt.executionId} order by seq`,
    );
    expect(stored).toEqual([
      { message: '*** ***= ***', data: { '***': '*** ***= ***' } },
      { message: `${'x'.repeat(65_530)}***`, data: null },
    ]);
    await desk.complete(endReport(attempt, { message: told, result: { told } }));
    expect(await attempts.ledger(attempt)).toMatchObject({
      message: '*** ***= ***',
      result: { told: '*** ***= ***' },
    });
  });

  it('have the token masked where the secrets of the target cannot be had', async () => {
    const { desk } = attempts.parts({ findSigningKeys: async () => ({ missing: 'key' }) });
    const attempt = await accepted();
    await desk.appendLogs({ token: attempt.token, lines: linesOf(`got ${attempt.token}`) });
    expect(await attempts.linesOf(attempt)).toMatchObject([{ message: 'got ***' }]);
    await desk.complete(endReport(attempt, { state: 'FAILED', retryable: false, message: attempt.token }));
    expect(await attempts.ledger(attempt)).toMatchObject({ message: '***' });
  });
});
