/** The kept sample of decisions, for operators. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { queryOf, type Route, validated } from '../route.ts';
import { decisionsOf, listDecisions } from '../storage/decisions.ts';

export const decisionsQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z.coerce.number().int().positive().optional(),
});

export const decisionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/decisions',
    access: 'viewer',
    async handle({ gateway, request }) {
      const query = queryOf(request);
      const { limit, before } = validated(query, decisionsQuerySchema, 'bad-request', 'The query');
      const decisions = await listDecisions(gateway.db, limit, before);
      return Response.json({
        decisions,
        next: decisions.length === limit ? (decisions.at(-1)?.id ?? null) : null,
      });
    },
  },
  {
    method: 'GET',
    path: '/v1/decisions/:requestId',
    access: 'viewer',
    async handle({ gateway, param }) {
      const decisions = await decisionsOf(gateway.db, param('requestId'));
      if (decisions.length === 0)
        throw new SppError('not-found', 'No decision on this request was kept.', {
          hint: 'Decisions are sampled; X-Explain: 1 has the reasons with the answer.',
        });
      return Response.json({ decisions });
    },
  },
];
