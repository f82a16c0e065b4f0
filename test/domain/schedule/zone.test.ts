import { describe, expect, it } from 'vitest';
import { localIso, Zone } from '../../../src/domain/schedule/zone.ts';

describe('a zone', () => {
  it.each([
    ['europe/berlin', 'Europe/Berlin'],
    ['AMERICA/PORT-AU-PRINCE', 'America/Port-au-Prince'],
    ['america/argentina/buenos_aires', 'America/Argentina/Buenos_Aires'],
    ['etc/gmt+5', 'Etc/GMT+5'],
    ['utc', 'UTC'],
    ['gmt', 'GMT'],
    ['est5edt', 'EST5EDT'],
    ['w-su', 'W-SU'],
  ])('is found in any case and shown as IANA spells it: %s is %s', (name, spelling) => {
    expect(Zone.find(name)?.name).toBe(spelling);
    expect(Zone.find(name)).toBe(Zone.find(spelling));
  });

  it.each([
    'Asia/Calcutta',
    'Asia/Kolkata',
    'Europe/Kiev',
    'Europe/Kyiv',
    'US/Pacific',
    'Etc/UTC',
    'Australia/ACT',
    'America/Knox_IN',
    'Antarctica/South_Pole',
    'Mexico/BajaSur',
    'Chile/EasterIsland',
  ])('keeps the name of a link in every case: %s', (name) => {
    expect(Zone.find(name)?.name).toBe(name);
    expect(Zone.find(name.toLowerCase())?.name).toBe(name);
    expect(Zone.find(name.toUpperCase())?.name).toBe(name);
  });

  it.each([
    '+02:00',
    'UTC+2',
    'EST5EDT;',
    '',
    ' UTC',
    'Europe/',
    '../etc',
    'Z'.repeat(300),
    '__proto__',
    'local',
  ])('is not %j', (name) => {
    expect(Zone.find(name)).toBeUndefined();
  });

  // To the runtime, BST is Dhaka and IST is Calcutta.
  it.each(['BST', 'CST', 'IST', 'JST', 'PST', 'SystemV/EST5'])('is not the abbreviation %s', (name) => {
    expect(Zone.find(name)).toBeUndefined();
  });
});

it.each([
  ['2026-03-29T00:59:59Z', 'Europe/Berlin', '2026-03-29T01:59:59+01:00'],
  ['2026-03-29T01:00:00Z', 'Europe/Berlin', '2026-03-29T03:00:00+02:00'],
  ['2026-10-25T00:59:59.5Z', 'Europe/Berlin', '2026-10-25T02:59:59.500+02:00'],
  ['2026-10-25T01:00:00Z', 'Europe/Berlin', '2026-10-25T02:00:00+01:00'],
  ['2011-12-30T09:59:59Z', 'Pacific/Apia', '2011-12-29T23:59:59-10:00'],
  ['2011-12-30T10:00:00Z', 'Pacific/Apia', '2011-12-31T00:00:00+14:00'],
  ['2026-06-01T00:00:00Z', 'Asia/Kathmandu', '2026-06-01T05:45:00+05:45'],
  ['1969-12-31T23:59:59Z', 'America/New_York', '1969-12-31T18:59:59-05:00'],
  ['9999-07-01T00:00:00Z', 'Europe/Berlin', '9999-07-01T02:00:00+02:00'],
])('%s is shown in %s as %s', (iso, name, shown) => {
  expect(localIso(Date.parse(iso), Zone.find(name)!)).toBe(shown);
});

it('answers the same in whatever order instants are asked for', () => {
  const zone = Zone.find('America/New_York')!;
  const instants = Array.from({ length: 300 }, (_, i) => Date.UTC(1900 + i * 27, i % 12, 1));
  const inOrder = instants.map((ms) => zone.spanAt(ms).offsetMs);
  const backward = instants.toReversed().map((ms) => zone.spanAt(ms).offsetMs);
  expect(backward.toReversed()).toEqual(inOrder);
});

// The zones whose changes are nearest to each other: those that suspend summer time for Ramadan.
it.each(['Africa/Casablanca', 'Africa/El_Aaiun', 'Asia/Gaza', 'Asia/Hebron', 'Africa/Cairo'])(
  'misses no change between two that are near to each other, as the runtime has them: %s',
  (name) => {
    const zone = Zone.find(name)!;
    const format = new Intl.DateTimeFormat('en-GB', { timeZone: name, timeZoneName: 'longOffset' });
    const missed: string[] = [];
    for (let ms = Date.UTC(1970, 0, 1); ms < Date.UTC(2100, 0, 1); ms += 86_400_000) {
      const shown = format.format(ms).split('GMT')[1] || '+00:00';
      if (localIso(ms, zone).slice(-6) !== shown) missed.push(new Date(ms).toISOString());
    }
    expect(missed).toEqual([]);
  },
);
