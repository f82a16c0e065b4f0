import { AttemptService } from '../../../gen/carillon/v1/attempt_service_pb.js';
import type { AttemptOperations } from '../../engine/operations.ts';
import { endReportFromMessage, logReceiptToMessage, logReportFromMessage } from '../messages/attempt.ts';
import { timestampFromDate } from '../messages/times.ts';
import { bindService, type Service } from './service.ts';

/** carillon.v1.AttemptService over the reports of callees; their tokens are the only credentials that it asks for. */
export function createAttemptService(attempts: AttemptOperations): Service {
  return bindService(AttemptService, {
    async appendLogs(request) {
      return logReceiptToMessage(await attempts.appendLogs(logReportFromMessage(request)));
    },

    async heartbeat(request) {
      const { isCancelRequested, reportBy } = await attempts.heartbeat(request.attemptToken);
      return {
        $typeName: 'carillon.v1.AttemptServiceHeartbeatResponse',
        cancelRequested: isCancelRequested,
        reportByTime: timestampFromDate(reportBy),
      };
    },

    async complete(request) {
      const { alreadyEnded } = await attempts.complete(endReportFromMessage(request));
      return { $typeName: 'carillon.v1.AttemptServiceCompleteResponse', alreadyEnded };
    },
  });
}
