/** What operators look at: the trail of changes. */
import { z } from 'zod';
import { queryOf, type Route, validated } from '../route.ts';
import { listAudit } from '../storage/audit.ts';

export const auditQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  before: z.coerce.number().int().positive().optional(),
});

export const operationRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/audit',
    access: 'viewer',
    async handle({ gateway, request }) {
      const query = queryOf(request);
      const { limit, before } = validated(query, auditQuerySchema, 'bad-request', 'The query');
      const entries = await listAudit(gateway.db, limit, before);
      return Response.json({ entries, next: entries.length === limit ? (entries.at(-1)?.id ?? null) : null });
    },
  },
];
