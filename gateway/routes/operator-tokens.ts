/** Operators' tokens, made and revoked by admins. */
import { z } from 'zod';
import { rotationSchema } from '../../schema/key-settings.ts';
import { operatorRoleSchema } from '../../schema/operator-role.ts';
import { actorOf } from '../auth/identity.ts';
import { type Route, readDocument } from '../route.ts';
import {
  createOperatorToken,
  listOperatorTokens,
  operatorTokenView,
  revokeOperatorToken,
  rotateOperatorToken,
} from '../storage/operator-tokens.ts';
import { idPageSchema, nextOf, pageOf } from './page.ts';
import { expiry, shownOnce } from './shown-once.ts';

/** Who is no holder of such a token is in the trail by these, and by `oidc:` and a subject. */
const othersNames: ReadonlySet<string> = new Set(['operator', 'client', 'node', 'scraper', 'anonymous']);

export const newOperatorTokenSchema = z.strictObject({
  /** The name that the audit trail has for its holder. */
  name: z
    .string()
    .min(1)
    .max(128)
    .refine(
      (name) => !othersNames.has(name) && !name.startsWith('oidc:'),
      'is what the audit trail calls others',
    ),
  role: operatorRoleSchema,
  /** Days until it expires; a token without them does not. */
  expiresInDays: z.number().positive().max(3650).optional(),
});

export const operatorTokenRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/operator-tokens',
    access: 'admin',
    async handle(call) {
      const { gateway } = call;
      const document = await readDocument(call, newOperatorTokenSchema, 'bad-request', 'The token');
      const { name, role, expiresInDays } = document;
      const nowMs = gateway.now();
      const { token, row } = await createOperatorToken(gateway.db, gateway.settings.keyPepper, {
        name,
        role,
        expiresAtMs: expiry(nowMs, expiresInDays),
        actor: actorOf(call.identity),
        nowMs,
      });
      gateway.operatorTokens.add(row.prefix, row);
      return shownOnce({ ...operatorTokenView(row), token }, `/v1/operator-tokens/${row.id}`);
    },
  },
  {
    method: 'GET',
    path: '/v1/operator-tokens',
    access: 'admin',
    async handle({ gateway, request }) {
      const page = pageOf(request, idPageSchema);
      const tokens = await listOperatorTokens(gateway.db, page);
      return Response.json({ tokens, next: nextOf(tokens, page.limit, ({ id }) => id) });
    },
  },
  {
    method: 'POST',
    path: '/v1/operator-tokens/:id/rotate',
    access: 'admin',
    async handle(call) {
      const { gateway } = call;
      const { overlapS } = await readDocument(call, rotationSchema, 'bad-request', 'The rotation');
      const { token, row } = await rotateOperatorToken(gateway.db, gateway.settings.keyPepper, {
        id: call.param('id'),
        actor: actorOf(call.identity),
        nowMs: gateway.now(),
        overlapS,
      });
      gateway.operatorTokens.drop(row.prefix);
      return shownOnce({ ...operatorTokenView(row), token }, `/v1/operator-tokens/${row.id}`, 200);
    },
  },
  {
    method: 'DELETE',
    path: '/v1/operator-tokens/:id',
    access: 'admin',
    async handle({ gateway, identity, param }) {
      const row = await revokeOperatorToken(gateway.db, {
        id: param('id'),
        actor: actorOf(identity),
        nowMs: gateway.now(),
      });
      gateway.operatorTokens.set(row.prefix, row);
      return new Response(null, { status: 204 });
    },
  },
];
