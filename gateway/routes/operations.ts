/** What operators look at: the trail of changes. */
import type { Route } from '../route.ts';
import { listAudit } from '../storage/audit.ts';
import { nextOf, numberedPageSchema, pageOf } from './page.ts';

export const operationRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/audit',
    access: 'viewer',
    async handle({ gateway, request }) {
      const { limit, before } = pageOf(request, numberedPageSchema);
      const entries = await listAudit(gateway.db, limit, before);
      return Response.json({ entries, next: nextOf(entries, limit, ({ id }) => id) });
    },
  },
];
