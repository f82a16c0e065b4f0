import { describe, expect, it } from 'vitest';
import {
  isLoopbackHost,
  listenAddressFromText,
  listenAddressToText,
} from '../../src/config/listen-address.ts';

describe('listenAddressFromText', () => {
  it.each([
    ['127.0.0.1:50051', '127.0.0.1', 50051],
    ['localhost:0', 'localhost', 0],
    ['[::1]:8080', '::1', 8080],
    ['[::]:8080', '::', 8080],
    ['carillon.example.com:65535', 'carillon.example.com', 65535],
  ])('reads %s', (text, host, port) => {
    expect(listenAddressFromText(text)).toEqual({ host, port });
    expect(listenAddressToText({ host, port })).toBe(text);
  });

  it.each([
    '',
    '8080',
    ':8080',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:http',
    '::1:8080',
    '[::1]',
    '[127.0.0.1]:80',
    '[nonsense]:80',
    'http://127.0.0.1:8080',
    'a b:80',
    'user@host:80',
  ])('refuses "%s"', (text) => {
    expect(listenAddressFromText(text)).toBeUndefined();
  });
});

describe('isLoopbackHost', () => {
  it.each([
    '127.0.0.1',
    '127.255.255.254',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::ffff:127.0.0.1',
    'localhost',
    'LocalHost',
  ])('holds %s for loopback', (host) => expect(isLoopbackHost(host)).toBe(true));

  it.each([
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '192.168.0.1',
    '128.0.0.1',
    '::2',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
    '127.1',
    '2130706433',
    'localhost.example.com',
    'my-machine',
    '',
  ])('does not hold "%s" for loopback', (host) => {
    expect(isLoopbackHost(host)).toBe(false);
  });
});
