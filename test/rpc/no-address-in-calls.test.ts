import { type DescMessage, getOption } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { JobServiceAddRequestSchema } from '../../gen/carillon/v1/job_service_pb.js';
import { Permission, permission } from '../../gen/carillon/v1/permission_pb.js';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';

/**
 * Who may run jobs may not choose what is called: where a job delivers to is
 * of its definition, which takes EDIT. So no request of an RPC for OPERATE has a
 * field for an address, however deep.
 */

/** Words of a field's name that make it one for where to call. */
const wordsOfPlaces: ReadonlySet<string> = new Set(
  'address addresses authority callback destination dns endpoint endpoints host hostname hosts ip origin peer port ports proxy server socket target targets uri uris url urls webhook'.split(
    ' ',
  ),
);

/** The paths of all fields that a message reaches, each message once. */
function fieldPaths(desc: DescMessage, path = '', seen = new Set<DescMessage>()): string[] {
  if (seen.has(desc)) return [];
  seen.add(desc);
  return desc.fields.flatMap((field) => {
    const at = path === '' ? field.name : `${path}.${field.name}`;
    return [at, ...(field.message ? fieldPaths(field.message, at, seen) : [])];
  });
}

const placesIn = (desc: DescMessage): string[] =>
  fieldPaths(desc).filter((path) =>
    path
      .slice(path.lastIndexOf('.') + 1)
      .split('_')
      .some((word) => wordsOfPlaces.has(word)),
  );

const operating = createServices(new FakeOperations())
  .flatMap(({ desc }) => desc.methods)
  .filter((method) => getOption(method, permission) === Permission.OPERATE);

describe('a call that runs jobs', () => {
  it.each(operating)('names no address: $parent.name/$name', ({ input }) => {
    expect(placesIn(input)).toEqual([]);
  });

  it('has an address in Add, where the same look finds all of them', () => {
    expect(placesIn(JobServiceAddRequestSchema)).toEqual(
      expect.arrayContaining([
        'job.target',
        'job.target.http.url',
        'job.target.grpc.address',
        'job.target.socket.host',
        'job.target.socket.port',
      ]),
    );
  });

  it('is Trigger, with the job, parameters and how to run it, and nothing else', () => {
    const trigger = operating.find(({ name }) => name === 'Trigger');
    expect(trigger?.input.fields.map(({ name }) => name)).toEqual([
      'job',
      'request_id',
      'parameters',
      'placement',
      'require_active',
      'allow_finished',
      'overlap',
      'cause',
    ]);
  });
});
