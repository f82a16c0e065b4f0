import { expect, it } from 'vitest';
import type { Selector } from '../../src/domain/job.ts';
import { selects } from '../../src/domain/selector.ts';

const job = {
  key: { namespace: 'shop', group: 'mail', name: 'invoice-daily' },
  labels: { team: 'billing', tier: '' },
};

it.each<[string, Selector, boolean]>([
  ['nothing', {}, true],
  ['its namespace', { namespace: 'shop' }, true],
  ['another namespace', { namespace: 'Shop' }, false],
  ['its group', { group: 'mail' }, true],
  ['another group', { group: 'mails' }, false],
  ['the start of its name', { namePrefix: 'invoice-' }, true],
  ['its whole name', { namePrefix: 'invoice-daily' }, true],
  ['the middle of its name', { namePrefix: 'daily' }, false],
  ['a wildcard, which means itself', { namePrefix: 'invoice%' }, false],
  ['a label', { labels: { team: 'billing' } }, true],
  ['all its labels, one of them empty', { labels: { team: 'billing', tier: '' } }, true],
  ['a label with another value', { labels: { team: 'shipping' } }, false],
  ['a label that it has not', { labels: { region: '' } }, false],
  ['a name that every object has', { labels: { constructor: 'x' } }, false],
  ['conditions that all hold', { namespace: 'shop', group: 'mail', labels: { team: 'billing' } }, true],
  [
    'conditions of which one does not hold',
    { namespace: 'shop', group: 'mail', labels: { team: 'x' } },
    false,
  ],
])('chooses a job by %s', (_, selector, chosen) => {
  expect(selects(selector, job)).toBe(chosen);
});
