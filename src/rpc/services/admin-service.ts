import { AdminService } from '../../../gen/carillon/v1/admin_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { Operations } from '../../engine/operations.ts';
import { calendarFromMessage, calendarToMessage } from '../messages/calendar.ts';
import { namespaceFromMessage } from '../messages/job-key.ts';
import { pageFromMessage } from '../messages/pages.ts';
import { putSecretFromMessage, secretToMessage } from '../messages/secret.ts';
import { createAuditHandlers } from './audit-handlers.ts';
import { createNamespaceHandlers } from './namespace-handlers.ts';
import { bindService, type Service } from './service.ts';
import { createTokenHandlers } from './token-handlers.ts';

/** carillon.v1.AdminService over the operations on what jobs share. */
export function createAdminService({ calendars, secrets, namespaces, tokens, audit }: Operations): Service {
  return bindService(AdminService, {
    ...createNamespaceHandlers(namespaces),
    ...createTokenHandlers(tokens),
    ...createAuditHandlers(audit),

    async putCalendar(request, call) {
      if (request.calendar === undefined) throw invalidField('calendar', 'must be set');
      const { calendar, created } = await calendars.put(calendarFromMessage(request.calendar), call.caller);
      return {
        $typeName: 'carillon.v1.AdminServicePutCalendarResponse',
        calendar: calendarToMessage(calendar),
        created,
      };
    },

    async getCalendar(request, call) {
      const calendar = await calendars.get(
        namespaceFromMessage(request.namespace),
        request.name,
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.AdminServiceGetCalendarResponse',
        calendar: calendarToMessage(calendar),
      };
    },

    async listCalendars(request, call) {
      const page = await calendars.list(
        namespaceFromMessage(request.namespace),
        pageFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.AdminServiceListCalendarsResponse',
        calendars: page.calendars.map(calendarToMessage),
        nextPageToken: page.nextPageToken,
      };
    },

    async deleteCalendar(request, call) {
      const namespace = namespaceFromMessage(request.namespace);
      const { existed } = await calendars.delete(namespace, request.name, call.caller);
      return { $typeName: 'carillon.v1.AdminServiceDeleteCalendarResponse', existed };
    },

    async putSecret(request, call) {
      const { secret, created, value = '' } = await secrets.put(putSecretFromMessage(request), call.caller);
      return {
        $typeName: 'carillon.v1.AdminServicePutSecretResponse',
        secret: secretToMessage(secret),
        created,
        value,
      };
    },

    async listSecrets(request, call) {
      const page = await secrets.list(
        namespaceFromMessage(request.namespace),
        pageFromMessage(request),
        call.caller,
      );
      return {
        $typeName: 'carillon.v1.AdminServiceListSecretsResponse',
        secrets: page.secrets.map(secretToMessage),
        nextPageToken: page.nextPageToken,
      };
    },

    async deleteSecret(request, call) {
      const namespace = namespaceFromMessage(request.namespace);
      const { existed } = await secrets.delete(namespace, request.name, call.caller);
      return { $typeName: 'carillon.v1.AdminServiceDeleteSecretResponse', existed };
    },
  });
}
