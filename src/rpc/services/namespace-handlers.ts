import type { AdminService } from '../../../gen/carillon/v1/admin_service_pb.js';
import { invalidField } from '../../domain/errors.ts';
import type { NamespaceOperations } from '../../engine/operations.ts';
import { namespaceFromMessage } from '../messages/job-key.ts';
import {
  namespaceChangesFromMessage,
  namespaceDraftFromMessage,
  namespaceToMessage,
  queueDraftFromMessage,
  queueToMessage,
} from '../messages/namespace.ts';
import { pageFromMessage } from '../messages/pages.ts';
import type { Handlers } from './service.ts';

type NamespaceHandlers = Pick<
  Handlers<typeof AdminService>,
  'createNamespace' | 'listNamespaces' | 'updateNamespace' | 'putQueue' | 'listQueues'
>;

/** What AdminService does with namespaces and queues. */
export const createNamespaceHandlers = (namespaces: NamespaceOperations): NamespaceHandlers => ({
  async createNamespace({ namespace }, call) {
    if (namespace === undefined) throw invalidField('namespace', 'must be set');
    const created = await namespaces.create(namespaceDraftFromMessage(namespace), call.caller);
    return {
      $typeName: 'carillon.v1.AdminServiceCreateNamespaceResponse',
      namespace: namespaceToMessage(created),
    };
  },

  async listNamespaces(request, call) {
    const page = await namespaces.list({}, pageFromMessage(request), call.caller);
    return {
      $typeName: 'carillon.v1.AdminServiceListNamespacesResponse',
      namespaces: page.namespaces.map(namespaceToMessage),
      nextPageToken: page.nextPageToken,
    };
  },

  async updateNamespace({ namespace, updateMask }, call) {
    if (namespace === undefined) throw invalidField('namespace', 'must be set');
    const changes = namespaceChangesFromMessage(namespace, updateMask);
    const updated = await namespaces.update(namespace.name, changes, call.caller);
    return {
      $typeName: 'carillon.v1.AdminServiceUpdateNamespaceResponse',
      namespace: namespaceToMessage(updated),
    };
  },

  async putQueue({ queue }, call) {
    if (queue === undefined) throw invalidField('queue', 'must be set');
    const put = await namespaces.putQueue(queueDraftFromMessage(queue), call.caller);
    return { $typeName: 'carillon.v1.AdminServicePutQueueResponse', queue: queueToMessage(put) };
  },

  async listQueues(request, call) {
    const page = await namespaces.listQueues(
      namespaceFromMessage(request.namespace),
      pageFromMessage(request),
      call.caller,
    );
    return {
      $typeName: 'carillon.v1.AdminServiceListQueuesResponse',
      queues: page.queues.map(queueToMessage),
      nextPageToken: page.nextPageToken,
    };
  },
});
