import { describe, expect, it } from 'vitest';
import { type JobDefinition, jobDefaults, type Parameters, type Target } from '../../../src/domain/job.ts';
import { boundedImage, maxImageBytes } from '../../../src/engine/audit/bounded-image.ts';
import {
  maskedDefinition,
  maskedParameters,
  maskedUrl,
} from '../../../src/engine/audit/masked-definition.ts';

const definition: JobDefinition = {
  ...jobDefaults,
  description: 'reports',
  labels: { team: 'a' },
  schedules: [],
  target: { kind: 'worker', queue: 'q', labels: {} },
  parameters: {},
  priority: 0,
};

describe('a URL', () => {
  it.each([
    ['https://host.example/path/to', 'https://host.example/path/to'],
    ['https://host.example', 'https://host.example'],
    ['https://ann:pw@host.example/', 'https://***@host.example/'],
    ['https://token@host.example:8443/a', 'https://***@host.example:8443/a'],
    ['https://a@b@host.example/', 'https://***@host.example/'],
    ['https://host.example/a?key=value&flag&x=1=2', 'https://host.example/a?key=***&***&x=***'],
    ['https://host.example/?a=1;b=2', 'https://host.example/?a=***;b=***'],
    ['https://host.example/a#access_token=x', 'https://host.example/a#access_token=***'],
    ['https://host.example?token', 'https://host.example?***'],
    ['https://host.example/?next=https://u:p@other/', 'https://host.example/?next=***'],
    ['https://hooks.example/services/T024BE7LDABCDEF12/B1/x', 'https://hooks.example/services/***/B1/x'],
    ['https://host.example/reports/monthly-overview', 'https://host.example/reports/monthly-overview'],
    ['https://{{ host }}/{{ name }}?t={{ text }}', 'https://{{ host }}/{{ name }}?t=***'],
    ['not a url', 'not a url'],
  ])('%s is kept as %s', (url, kept) => {
    expect(maskedUrl(url)).toBe(kept);
  });
});

describe('a target', () => {
  it.each<[string, Target, object]>([
    [
      'HTTP: names of headers, length of the body, names of secrets',
      {
        kind: 'http',
        url: 'https://h.example/?k=v',
        method: 'POST',
        headers: { Authorization: 'Bearer x', 'X-Plain': 'x' },
        body: 'secret',
        successCodes: [200],
        signingSecretName: 'hook',
        secretHeaders: { 'X-Key': 'crm' },
      },
      {
        kind: 'http',
        url: 'https://h.example/?k=***',
        method: 'POST',
        headers: { Authorization: '***', 'X-Plain': '***' },
        body: '6 characters',
        successCodes: [200],
        signingSecretName: 'hook',
        secretHeaders: { 'X-Key': 'crm' },
      },
    ],
    [
      'gRPC: names of metadata, length of the certificates',
      {
        kind: 'grpc',
        address: 'h.example:443',
        method: 'a.B/C',
        metadata: { token: 'x' },
        tls: { caPem: 'PEM', clientCertificateSecretName: 'me', serverName: 'h' },
      },
      {
        kind: 'grpc',
        address: 'h.example:443',
        method: 'a.B/C',
        metadata: { token: '***' },
        tls: { caPem: '3 characters', clientCertificateSecretName: 'me', serverName: 'h' },
      },
    ],
    [
      'SOCKET: length of the certificates',
      { kind: 'socket', host: 'h', port: 1, tls: { caPem: 'PEM' } },
      { kind: 'socket', host: 'h', port: 1, tls: { caPem: '3 characters' } },
    ],
    [
      'WORKER: everything',
      { kind: 'worker', queue: 'q', labels: { gpu: 'yes' } },
      { kind: 'worker', queue: 'q', labels: { gpu: 'yes' } },
    ],
  ])('of %s', (_, target, kept) => {
    expect(maskedDefinition({ ...definition, target }).target).toEqual(kept);
  });
});

describe('parameters', () => {
  it.each<[Parameters, unknown]>([
    [{}, undefined],
    [{ list: [] }, undefined],
    [{ text: '' }, { text: '0 characters' }],
    [{ text: 'secret' }, { text: '6 characters' }],
    [{ object: { a: { deep: 'secret' }, b: 1 } }, { object: ['a', 'b'] }],
    [{ list: [{ name: 'who', value: 'secret' }] }, { list: ['who'] }],
  ])('%j are kept as %j', (parameters, kept) => {
    expect(maskedParameters(parameters)).toEqual(kept);
  });
});

describe('an image', () => {
  it('of ordinary size is kept whole', () => {
    const image = { a: 'x'.repeat(maxImageBytes - 20) };
    expect(boundedImage(image)).toEqual(image);
  });

  it('that is too large loses its largest members, with a note of what they weighed', () => {
    const image = { small: 1, large: 'x'.repeat(20_000), largest: 'ü'.repeat(20_000), also: undefined };
    expect(boundedImage(image)).toEqual({ ...image, largest: 'left out: 40014 bytes' });
  });
});
