/** What operators look at: the trail of changes. */
import type { Route } from '../route.ts';
import { listAudit } from '../storage/audit.ts';
import { followedPageSchema, nextOf, pageOf } from './page.ts';

export const operationRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/audit',
    access: 'viewer',
    async handle({ gateway, request }) {
      const { limit, ...range } = pageOf(request, followedPageSchema);
      const entries = await listAudit(gateway.db, limit, range);
      return Response.json({ entries, next: nextOf(entries, limit, ({ id }) => id) });
    },
  },
];
