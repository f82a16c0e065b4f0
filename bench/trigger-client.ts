/**
 * Calls Trigger over native gRPC with 64 in flight, from a process of its own.
 *
 *     node bench/trigger-client.ts ADDRESS CALLS JOB…
 *
 * Prints calls per second; a call that fails ends it with 1.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import {
  JobServiceTriggerRequestSchema,
  JobServiceTriggerResponseSchema,
} from '../gen/carillon/v1/job_service_pb.js';

const [address, calls, ...jobs] = process.argv.slice(2) as [string, string, ...string[]];
const client = new Client(address, credentials.createInsecure());

const trigger = (job: string): Promise<void> =>
  new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/carillon.v1.JobService/Trigger',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(JobServiceTriggerResponseSchema, bytes),
      Buffer.from(
        toBinary(
          JobServiceTriggerRequestSchema,
          create(JobServiceTriggerRequestSchema, { job: { ref: { case: 'id', value: BigInt(job) } } }),
        ),
      ),
      (error) => (error ? reject(error) : resolve()),
    );
  });

let begun = 0;
const lane = async (): Promise<void> => {
  while (begun < Number(calls)) await trigger(jobs[begun++ % jobs.length]!);
};
// Warm: connections, prepared statements, compiled code.
begun = Number(calls) - 2_000;
await Promise.all(Array.from({ length: 64 }, lane));
begun = 0;
const startMs = performance.now();
await Promise.all(Array.from({ length: 64 }, lane));
process.stdout.write(`${(Number(calls) / (performance.now() - startMs)) * 1000}\n`);
client.close();
