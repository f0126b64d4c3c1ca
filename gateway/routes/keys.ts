/** Client keys, made and revoked by operators. */
import { z } from 'zod';
import { type Route, readDocument } from '../route.ts';
import { createKey, keyView, listKeys, revokeKey } from '../storage/keys.ts';

const newKeySchema = z.strictObject({
  name: z.string().min(1).max(128),
  /** Days until it expires; a key without them does not. */
  expiresInDays: z.number().positive().max(3650).optional(),
});

const DAY_MS = 86_400_000;

export const keyRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/keys',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const { name, expiresInDays } = await readDocument(call, newKeySchema, 'bad-request', 'The key');
      const nowMs = gateway.now();
      const { key, row } = await createKey(gateway.db, gateway.settings.keyPepper, {
        name,
        expiresAtMs: expiresInDays === undefined ? null : nowMs + Math.round(expiresInDays * DAY_MS),
        actor: 'operator',
        nowMs,
      });
      gateway.keys.set(row.prefix, row);
      return Response.json(
        { ...keyView(row), key },
        { status: 201, headers: { 'cache-control': 'no-store', location: `/v1/keys/${row.id}` } },
      );
    },
  },
  {
    method: 'GET',
    path: '/v1/keys',
    access: 'operator',
    async handle({ gateway }) {
      return Response.json({ keys: await listKeys(gateway.db) });
    },
  },
  {
    method: 'DELETE',
    path: '/v1/keys/:id',
    access: 'operator',
    async handle({ gateway, param }) {
      const row = await revokeKey(gateway.db, { id: param('id'), actor: 'operator', nowMs: gateway.now() });
      gateway.keys.set(row.prefix, row);
      return new Response(null, { status: 204 });
    },
  },
];
