/** The fleet: nodes registered, looked at, drained and removed by operators, and what nodes tell of themselves. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { rotationSchema } from '../../schema/key-settings.ts';
import { heartbeatAnswerSchema, newNodeSchema, nodeChangesSchema } from '../../schema/node-registration.ts';
import { nodeReportSchema } from '../../schema/node-report.ts';
import { actorOf } from '../auth/identity.ts';
import { nodeOrigin } from '../nodes/node-origin.ts';
import { withoutProfiles } from '../nodes/view.ts';
import { type Call, type Route, readDocument } from '../route.ts';
import {
  changeNode,
  keepHeartbeat,
  listNodes,
  nodeByName,
  nodeRegistration,
  registerNode,
  removeNode,
  rotateNodeToken,
  taken,
} from '../storage/nodes.ts';
import { namedPageSchema, nextOf, pageOf } from './page.ts';
import { shownOnce } from './shown-once.ts';

export const nodesQuerySchema = namedPageSchema.extend({
  /** `none` leaves out the times that nodes have measured, which are most of a long answer. */
  profiles: z.enum(['all', 'none']).default('all'),
});

export const nodeRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/nodes',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const { settings } = gateway;
      const document = await readDocument(call, newNodeSchema, 'bad-request', 'The node');
      const url = nodeOrigin(document.url, settings.privateNodes);
      if (settings.nodes.some((listed) => listed.name === document.name || sameOrigin(listed.url, url)))
        throw taken('The NODES setting has a node of this name, or at this address.');
      const { token, row } = await registerNode(gateway.db, settings.keyPepper, {
        ...document,
        url,
        actor: actorOf(call.identity),
        nowMs: gateway.now(),
      });
      return shownOnce({ ...nodeRegistration(row), token }, `/v1/nodes/${row.name}`);
    },
  },
  {
    method: 'GET',
    path: '/v1/nodes',
    access: 'viewer',
    async handle({ gateway, background, request }) {
      const { limit = Number.POSITIVE_INFINITY, before = '', profiles } = pageOf(request, nodesQuerySchema);
      await gateway.roster.reload();
      await gateway.fleet.refresh(background);
      const registered = (await listNodes(gateway.db)).map(nodeRegistration);
      const nodes = gateway.fleet.view();
      const names = new Set([...nodes, ...registered].map(({ name }) => name));
      const page = [...names]
        .filter((name) => name > before)
        .sort()
        .slice(0, limit);
      const here = new Set(page);
      const shown = nodes.filter(({ name }) => here.has(name));
      return Response.json({
        nodes: profiles === 'none' ? shown.map(withoutProfiles) : shown,
        registered: registered.filter(({ name }) => here.has(name)),
        next: nextOf(page, limit, (name) => name),
      });
    },
  },
  {
    method: 'GET',
    path: '/v1/nodes/:name',
    access: 'viewer',
    async handle({ gateway, param }) {
      return Response.json(nodeRegistration(await nodeByName(gateway.db, param('name'))));
    },
  },
  {
    method: 'PATCH',
    path: '/v1/nodes/:name',
    access: 'operator',
    async handle(call) {
      const changes = await readDocument(call, nodeChangesSchema, 'bad-request', 'The change');
      const row = await changeNode(call.gateway.db, change(call), changes);
      await call.gateway.roster.reload();
      return Response.json(nodeRegistration(row));
    },
  },
  {
    method: 'POST',
    path: '/v1/nodes/:name/rotate',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const { overlapS } = await readDocument(call, rotationSchema, 'bad-request', 'The rotation');
      const { token, row } = await rotateNodeToken(gateway.db, gateway.settings.keyPepper, {
        ...change(call),
        overlapS,
      });
      gateway.nodeTokens.drop(row.prefix);
      return shownOnce({ ...nodeRegistration(row), token }, `/v1/nodes/${row.name}`, 200);
    },
  },
  {
    method: 'DELETE',
    path: '/v1/nodes/:name',
    access: 'operator',
    async handle(call) {
      const { gateway } = call;
      const row = await removeNode(gateway.db, change(call));
      gateway.nodeTokens.set(row.prefix, null);
      await gateway.roster.reload();
      return new Response(null, { status: 204 });
    },
  },
  {
    method: 'POST',
    path: '/v1/heartbeats',
    access: 'node',
    async handle(call) {
      const { gateway, identity } = call;
      if (identity.kind !== 'node' || identity.registered === null)
        throw new Error('Heartbeats are for registered nodes.');
      const { name, prefix } = identity.registered;
      const report = await readDocument(call, nodeReportSchema, 'bad-request', 'The report');
      const nowMs = gateway.now();
      const kept = await keepHeartbeat(gateway.db, { name, prefix, report, nowMs });
      // Removed since its token was looked up; the same answer as to any token that is good for nothing.
      if (kept === undefined) {
        gateway.nodeTokens.set(prefix, null);
        throw new SppError('unauthorized', 'These credentials are not valid.', {
          hint: 'Send "Authorization: Bearer" with a node\'s token.',
        });
      }
      // The first that is heard of a node takes it into the fleet.
      if (!gateway.fleet.heard(name, report, gateway.steady.now())) await gateway.roster.reload();
      return Response.json(heartbeatAnswerSchema.parse({ node: name, draining: kept.draining }));
    },
  },
];

function change({ gateway, identity, param }: Call) {
  return { name: param('name'), actor: actorOf(identity), nowMs: gateway.now() };
}

function sameOrigin(listed: string, origin: string): boolean {
  return URL.parse(listed)?.origin === origin;
}
