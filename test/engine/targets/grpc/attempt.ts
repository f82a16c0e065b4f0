import { onTestFinished } from 'vitest';
import type { LogLine } from '../../../../src/domain/execution.ts';
import { defaultGrpcMethod } from '../../../../src/domain/grpc-target.ts';
import type { GrpcTarget } from '../../../../src/domain/job.ts';
import {
  GrpcTargetClient,
  type GrpcTargetClientOptions,
} from '../../../../src/engine/targets/grpc-target-client.ts';
import type { DeliveryResult } from '../../../../src/engine/targets/target.ts';
import { loopbackOpen } from '../../../support/egress.ts';
import { recordedContext, sampleDelivery } from '../http/attempt.ts';

/** A client that is closed when the test is over. */
export function createGrpcClient(options: Partial<GrpcTargetClientOptions> = {}): GrpcTargetClient {
  const client = new GrpcTargetClient({
    version: '1.2.3',
    egress: loopbackOpen,
    closeGraceMs: 0,
    ...options,
  });
  onTestFinished(() => client.close());
  return client;
}

/** A target with the defaults of the API. */
export function grpcTarget(address: string, rest: Partial<GrpcTarget> = {}): GrpcTarget {
  return { kind: 'grpc', address, metadata: {}, method: defaultGrpcMethod, ...rest };
}

/** Delivers the sample to a target and returns the result with the log. */
export async function deliverTo(
  target: GrpcTarget,
  options: Partial<GrpcTargetClientOptions> = {},
): Promise<{ readonly result: DeliveryResult; readonly lines: readonly LogLine[] }> {
  const context = recordedContext();
  const result = await createGrpcClient(options).deliver(target, sampleDelivery, context);
  return { result, lines: context.lines };
}
