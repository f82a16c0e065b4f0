import { describe, expect, it } from 'vitest';
import { readEnvironment, variableNames } from '../../src/config/env.ts';

describe('readEnvironment', () => {
  it('reads the known variables, trims them, and counts an empty one as not set', () => {
    const { values, problems } = readEnvironment({
      DATABASE_URL: 'postgres://localhost/x',
      CARILLON_LOG_LEVEL: ' warn ',
      CARILLON_DATA_DIR: '',
      CARILLON_ROLES: '  ',
      PATH: '/bin',
    });
    expect(values).toEqual({ DATABASE_URL: 'postgres://localhost/x', CARILLON_LOG_LEVEL: 'warn' });
    expect(problems).toEqual([]);
  });

  it.each([
    ['CARILLON_GRPC_ADRESS', 'CARILLON_GRPC_ADDRESS'],
    ['CARILLON_LEASE_TTL_MS', 'CARILLON_ENGINE_LEASE_TTL_MS'],
    ['CARILLON_ROLE', 'CARILLON_ROLES'],
    ['CARILLON_DATABASE_POOLSIZE', 'CARILLON_DATABASE_POOL_SIZE'],
    ['CARILLON_log_level', 'CARILLON_LOG_LEVEL'],
    ['CARILLON_', 'CARILLON_ROLES'],
  ])('refuses %s and names %s', (name, nearest) => {
    const { problems } = readEnvironment({ [name]: '' });
    expect(problems).toEqual([`${name} is not a variable of Carillon; did you mean ${nearest}?`]);
  });

  it.each([
    ['CARILLON_SERVICE_HOST', '10.0.0.1'],
    ['CARILLON_SERVICE_PORT', '8080'],
    ['CARILLON_SERVICE_PORT_GRPC', '50051'],
    ['CARILLON_PORT', 'tcp://10.0.0.1:8080'],
    ['CARILLON_PORT_8080_TCP', 'tcp://10.0.0.1:8080'],
    ['CARILLON_PORT_8080_TCP_ADDR', '10.0.0.1'],
    ['CARILLON_API_PORT_8080_TCP_PROTO', 'tcp'],
    ['CARILLON_API_SERVICE_HOST', '10.0.0.1'],
  ])('passes over %s, which Kubernetes sets for a service', (name, value) => {
    expect(readEnvironment({ [name]: value }).problems).toEqual([]);
  });

  it('passes over what the command line reads', () => {
    expect(readEnvironment({ CARILLON_CA_FILE: '/ca.pem', CARILLON_ADDRESS: 'a:1' }).problems).toEqual([]);
  });

  it('takes CARILLON_PORT for a mistake when a plain port is in it', () => {
    expect(readEnvironment({ CARILLON_PORT: '8080' }).problems).toHaveLength(1);
  });

  it('names each variable once', () => {
    expect(new Set(variableNames).size).toBe(variableNames.length);
  });
});
