import { AdminService } from '../../../gen/carillon/v1/admin_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { CalendarOperations } from '../../engine/operations.ts';
import { calendarFromMessage, calendarNamespace, calendarToMessage } from '../messages/calendar.ts';
import { pageFromMessage } from '../messages/pages.ts';
import { bindService, type Service } from './service.ts';

/** carillon.v1.AdminService over the operations on calendars. */
export function createAdminService(calendars: CalendarOperations): Service {
  return bindService(AdminService, {
    async putCalendar(request, call) {
      if (request.calendar === undefined) throw invalidField('calendar', 'must be set');
      const { calendar, created } = await calendars.put(calendarFromMessage(request.calendar), call.caller);
      return {
        $typeName: 'carillon.v1.AdminServicePutCalendarResponse',
        calendar: calendarToMessage(calendar),
        created,
      };
    },

    async getCalendar(request) {
      const calendar = await calendars.get(calendarNamespace(request.namespace), request.name);
      return {
        $typeName: 'carillon.v1.AdminServiceGetCalendarResponse',
        calendar: calendarToMessage(calendar),
      };
    },

    async listCalendars(request) {
      const page = await calendars.list(calendarNamespace(request.namespace), pageFromMessage(request));
      return {
        $typeName: 'carillon.v1.AdminServiceListCalendarsResponse',
        calendars: page.calendars.map(calendarToMessage),
        nextPageToken: page.nextPageToken,
      };
    },

    async deleteCalendar(request, call) {
      const namespace = calendarNamespace(request.namespace);
      const { existed } = await calendars.delete(namespace, request.name, call.caller);
      return { $typeName: 'carillon.v1.AdminServiceDeleteCalendarResponse', existed };
    },
  });
}
