/** The kept sample of decisions, for operators. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import type { Route } from '../route.ts';
import { decisionsOf, listDecisions } from '../storage/decisions.ts';
import { followedPageSchema, nextOf, pageOf } from './page.ts';

/** Each comes with its reasons, so that a page has fewer. */
export const decisionsQuerySchema = followedPageSchema.extend({
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

export const decisionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/decisions',
    access: 'viewer',
    async handle({ gateway, request }) {
      const { limit, ...range } = pageOf(request, decisionsQuerySchema);
      const decisions = await listDecisions(gateway.db, limit, range);
      return Response.json({ decisions, next: nextOf(decisions, limit, ({ id }) => id) });
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
