import type { AdminService } from '../../../gen/carillon/v1/admin_service_pb.js';
import type { AuditOperations } from '../../engine/operations.ts';
import { auditEventToMessage, auditFilterFromMessage } from '../messages/audit.ts';
import { pageFromMessage } from '../messages/pages.ts';
import type { Handlers } from './service.ts';

/** What AdminService does with the audit. */
export const createAuditHandlers = (
  audit: AuditOperations,
): Pick<Handlers<typeof AdminService>, 'listAuditEvents'> => ({
  async listAuditEvents(request, call) {
    const page = await audit.list(
      auditFilterFromMessage(request.filter),
      pageFromMessage(request),
      call.caller,
    );
    return {
      $typeName: 'carillon.v1.AdminServiceListAuditEventsResponse',
      events: page.events.map(auditEventToMessage),
      nextPageToken: page.nextPageToken,
    };
  },
});
