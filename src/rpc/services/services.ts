import type { Operations } from '../../engine/operations.ts';
import { createAdminService } from './admin-service.ts';
import { createAttemptService } from './attempt-service.ts';
import { createExecutionService } from './execution-service.ts';
import { createJobService } from './job-service.ts';
import type { Service } from './service.ts';
import { createWorkerService } from './worker-service.ts';

/** Every service of Carillon's own; both servers serve all of them. */
export function createServices(operations: Operations): readonly Service[] {
  return [
    createJobService(operations.jobs),
    createExecutionService(operations.executions),
    createAdminService(operations),
    createWorkerService(operations.workers),
    createAttemptService(operations.attempts),
  ];
}
