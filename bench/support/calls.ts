/** Calls over native gRPC, by grpc-js. */
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import type { Job, JobSchema } from '../../gen/carillon/v1/job_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';

/** What Add takes as a job. */
export type JobDraft = Exclude<MessageInitShape<typeof JobSchema>, Job>;

const same = (bytes: Buffer): Buffer => bytes;

/** One connection to Carillon. */
export const connect = (address: string): Client => new Client(address, credentials.createInsecure());

/** Calls with bytes that are encoded already. */
export const callRaw = (
  client: Client,
  path: string,
  bytes: Buffer,
  metadata: Metadata = new Metadata(),
): Promise<Buffer> =>
  new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, same, same, bytes, metadata, (error, answer) =>
      error ? reject(error) : resolve(answer!),
    ),
  );

/** What shows a bearer token. */
export function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** Calls a unary method by its messages. */
export async function call<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  metadata?: Metadata,
): Promise<MessageShape<O>> {
  const bytes = Buffer.from(toBinary(method.input, create(method.input, request)));
  return fromBinary(method.output, await callRaw(client, pathOf(method), bytes, metadata));
}

/** The path of a method. */
export const pathOf = (method: DescMethodUnary): string => `/${method.parent.typeName}/${method.name}`;

/** Does something for each number below `count`, a few at a time. */
export async function eachOf(
  count: number,
  inFlight: number,
  body: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await body(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, work));
}

/** Adds jobs; returns their ids in order. */
export async function addJobs(
  client: Client,
  count: number,
  draft: (index: number) => JobDraft,
): Promise<readonly bigint[]> {
  const { input, output } = JobService.method.add;
  const ids: bigint[] = [];
  await eachOf(count, 32, async (index) => {
    const bytes = toBinary(input, create(input, { job: draft(index) }));
    const answer = fromBinary(
      output,
      await callRaw(client, pathOf(JobService.method.add), Buffer.from(bytes)),
    );
    ids[index] = answer.job!.id;
  });
  return ids;
}

/** Limits how many executions of a queue run at once. */
export async function limitQueue(client: Client, name: string, maxRunning: number): Promise<void> {
  const { input } = AdminService.method.putQueue;
  const bytes = toBinary(input, create(input, { queue: { name, limits: { maxRunning } } }));
  await callRaw(client, pathOf(AdminService.method.putQueue), Buffer.from(bytes));
}

/** A Trigger of a job, encoded. */
export function triggerOf(jobId: bigint): Buffer {
  const { input } = JobService.method.trigger;
  return Buffer.from(toBinary(input, create(input, { job: { ref: { case: 'id', value: jobId } } })));
}
