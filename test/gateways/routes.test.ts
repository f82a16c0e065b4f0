import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getOption } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { PermissionSchema, permission } from '../../gen/carillon/v1/permission_pb.js';
import { readEnvironment } from '../../src/config/env.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { Zone } from '../../src/domain/schedule/zone.ts';
import type { Dialect } from '../../src/gateways/dialect.ts';
import { dialects } from '../../src/gateways/gateways.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { startServers } from '../conformance/servers.ts';
import { ask } from './json-fetch.ts';

const zone = Zone.find('UTC')!;
const made = Object.entries(dialects).map(([name, make]): [string, Dialect] => [
  name,
  make({ clock: systemClock, zone }),
]);
const names = Object.keys(dialects) as (keyof typeof dialects)[];

const lineOf = (method: string, path: string) => ({
  method,
  path: path.replace(/:\w+/g, 'x').replaceAll(' ', '%20'),
  query: path === '/' ? 'Action=ExecuteJob' : '',
});

describe('the routes of the gateways', () => {
  it('are those of the table in docs/gateways.md, with their calls and permissions', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/gateways.md'), 'utf8');
    const rows = [...text.matchAll(/^\| (\S+) \| (GET|POST|PUT|DELETE) \| `([^`]+)` \| (.+) \| (.+) \|$/gm)];
    const documented = rows.map(([, ...cells]) => cells);
    const routes = made.flatMap(([name, dialect]) =>
      dialect.routes.map(({ method, path, rpcs }) => {
        const permissions = rpcs.map((rpc) => PermissionSchema.value[getOption(rpc, permission)]!.name);
        return [
          name,
          method,
          path,
          rpcs.map((rpc) => `${rpc.parent.name}/${rpc.name}`).join(', '),
          [...new Set(permissions.map((each) => each.replace('PERMISSION_', '')))].join(', '),
        ];
      }),
    );
    expect(documented).toEqual(routes);
  });

  it('are each of one gateway only: their areas do not overlap, nor take what is Carillon’s own', () => {
    for (const [name, dialect] of made) {
      for (const { method, path } of dialect.routes) {
        const owners = made.filter(([, other]) => other.owns(lineOf(method, path))).map(([owner]) => owner);
        expect([method, path, owners]).toEqual([method, path, [name]]);
      }
      for (const path of [
        '/healthz',
        '/readyz',
        '/metrics',
        '/carillon.v1.JobService/Get',
        '/grpc.health.v1.Health/Check',
      ]) {
        expect([name, path, dialect.owns(lineOf('POST', path))]).toEqual([name, path, false]);
      }
      expect(dialect.owns({ method: 'GET', path: '/', query: '' })).toBe(false);
    }
  });

  it('can all be switched on', () => {
    const variables = { CARILLON_GATEWAYS: names.join(',') };
    expect(loadConfig({}, readEnvironment(variables)).gateways).toEqual(names);
  });

  it('answer each in its own shape when all are on, and the port serves what is its own', async () => {
    const servers = await startServers({ gateways: names });
    const base = `http://${servers.http.address}`;
    expect((await ask(`${base}/monitor/job/0`)).json).toMatchObject({ code: 400, data: null });
    expect((await ask(`${base}/?Action=ExecuteJob&Format=JSON`)).json).toMatchObject({
      Code: 400,
      Success: false,
    });
    expect((await ask(`${base}/tasks/running/x`)).json).toMatchObject({
      statusCode: 404,
      error: 'JOB_NOT_FOUND',
    });
    expect((await ask(`${base}/dispatchserver/pause.do`)).json).toMatchObject({
      success: false,
      resultValue: null,
    });
    expect((await ask(`${base}/v1/p/jobs/x`)).json).toMatchObject({ error_code: 'DLF.0404' });
    expect((await ask(`${base}/`)).text).toContain('Carillon, a job-scheduling service');
    expect(
      (
        await ask(`${base}/carillon.v1.JobService/List`, {
          method: 'POST',
          body: '{}',
          headers: { 'content-type': 'application/json' },
        })
      ).status,
    ).toBe(200);
    await servers.stop();
  });
});
