/** Client keys, made, changed, rotated and revoked by operators. */
import type { ApiKeyRow } from '../../schema/db/tables.ts';
import { keyChangesSchema, newKeySchema, rotationSchema } from '../../schema/key-settings.ts';
import { actorOf } from '../auth/identity.ts';
import type { Account } from '../budget/ledger.ts';
import { accountOf } from '../budget/purses.ts';
import { type Call, type Route, readDocument } from '../route.ts';
import { changeKey, createKey, keyById, keyView, listKeys, revokeKey, rotateKey } from '../storage/keys.ts';
import { ofStore } from '../storage/store-failure.ts';
import { idPageSchema, nextOf, pageOf } from './page.ts';
import { expiry, shownOnce } from './shown-once.ts';

export const keyRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/keys',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const document = await readDocument(call, newKeySchema, 'bad-request', 'The key');
      const { expiresInDays, ...settings } = document;
      const nowMs = gateway.now();
      const { key, row } = await createKey(gateway.db, gateway.settings.keyPepper, {
        ...settings,
        expiresAtMs: expiry(nowMs, expiresInDays),
        actor: actorOf(call.identity),
        nowMs,
      });
      gateway.keys.add(row.prefix, row);
      return shown(key, row, 201);
    },
  },
  {
    method: 'GET',
    path: '/v1/keys',
    access: 'viewer',
    async handle({ gateway, request }) {
      const page = pageOf(request, idPageSchema);
      const keys = await listKeys(gateway.db, page);
      return Response.json({ keys, next: nextOf(keys, page.limit, ({ id }) => id) });
    },
  },
  {
    method: 'GET',
    path: '/v1/keys/:id',
    access: 'viewer',
    async handle({ gateway, param }) {
      return Response.json(keyView(await keyById(gateway.db, param('id'))));
    },
  },
  {
    method: 'GET',
    path: '/v1/keys/:id/limits',
    access: 'viewer',
    async handle({ gateway, param }) {
      const row = await keyById(gateway.db, param('id'));
      const ledger = gateway.ledgerOf(row.id);
      const standing = async (name: Account['name']) => {
        const account = accountOf(row, name);
        return account === undefined ? null : ofStore('ledger', ledger.view(account));
      };
      return Response.json({ budget: await standing('cost'), rateLimit: await standing('rate') });
    },
  },
  {
    method: 'PATCH',
    path: '/v1/keys/:id',
    access: 'operator',
    async handle(call) {
      const changes = await readDocument(call, keyChangesSchema, 'bad-request', 'The change');
      const row = await changeKey(call.gateway.db, change(call), changes);
      call.gateway.keys.drop(row.prefix);
      return Response.json(keyView(row));
    },
  },
  {
    method: 'POST',
    path: '/v1/keys/:id/rotate',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const { overlapS } = await readDocument(call, rotationSchema, 'bad-request', 'The rotation');
      const { token, row } = await rotateKey(gateway.db, gateway.settings.keyPepper, {
        ...change(call),
        overlapS,
      });
      gateway.keys.drop(row.prefix);
      return shown(token, row, 200);
    },
  },
  {
    method: 'DELETE',
    path: '/v1/keys/:id',
    access: 'operator',
    async handle(call) {
      const row = await revokeKey(call.gateway.db, change(call));
      call.gateway.keys.set(row.prefix, row);
      return new Response(null, { status: 204 });
    },
  },
];

function change({ gateway, identity, param }: Call) {
  return { id: param('id'), actor: actorOf(identity), nowMs: gateway.now() };
}

function shown(key: string, row: ApiKeyRow, status: 200 | 201): Response {
  return shownOnce({ ...keyView(row), key }, `/v1/keys/${row.id}`, status);
}
