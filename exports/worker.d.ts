// Written by packaging/lead-exports.ts.
export * from '../src/worker/index.ts';
