import { describe, expect, it } from 'vitest';
import { alternativeNames } from '../../src/rpc/client-certificate.ts';

describe('alternative names', () => {
  it.each<[string, readonly (readonly [string, string])[]]>([
    ['', []],
    ['DNS:a.example', [['DNS', 'a.example']]],
    [
      'DNS:a, URI:spiffe://b/c, IP Address:127.0.0.1',
      [
        ['DNS', 'a'],
        ['URI', 'spiffe://b/c'],
        ['IP Address', '127.0.0.1'],
      ],
    ],
    [
      'URI:"spiffe://a\\u002c DNS:admin", DNS:b',
      [
        ['URI', 'spiffe://a, DNS:admin'],
        ['DNS', 'b'],
      ],
    ],
    ['URI:"a\\", DNS:admin"', [['URI', 'a", DNS:admin']]],
    ['DirName:"CN=a\\u002c DNS:admin"', [['DirName', 'CN=a, DNS:admin']]],
  ])('are read from %j', (text, names) => {
    expect(alternativeNames(text)).toEqual(names);
  });

  it.each(['DNS:a,DNS:b', 'DNS:a"b', 'URI:"a', 'nothing'])('of another form name nobody: %j', (text) => {
    expect(alternativeNames(text)).toEqual([]);
  });
});
