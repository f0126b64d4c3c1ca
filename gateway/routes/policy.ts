/** The operator's policy: read, replace, look back. */
import { SppError } from '../../schema/errors.ts';
import { policySchema } from '../../schema/policy.ts';
import { actorOf } from '../auth/identity.ts';
import { etagOf, requireMatch } from '../http/etag.ts';
import { type Route, readDocument } from '../route.ts';
import {
  currentPolicy,
  listPolicyVersions,
  policyVersion,
  replacePolicy,
  type VersionedPolicy,
} from '../storage/policies.ts';

export const policyRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/policy',
    access: 'viewer',
    async handle({ gateway }) {
      return policyResponse(await currentPolicy(gateway.db));
    },
  },
  {
    method: 'PUT',
    path: '/v1/policy',
    access: 'operator',
    async handle(call) {
      const { gateway, request } = call;
      const current = await currentPolicy(gateway.db);
      requireMatch(request.headers.get('if-match'), current.version);
      const document = await readDocument(call, policySchema, 'bad-policy', 'The policy');
      const next = await replacePolicy(gateway.db, {
        expected: current.version,
        document,
        actor: actorOf(call.identity),
        nowMs: gateway.now(),
      });
      // This isolate's next decision follows it; others see it when their copy is refreshed.
      gateway.policy.set(next);
      return policyResponse(next);
    },
  },
  {
    method: 'GET',
    path: '/v1/policy/versions',
    access: 'viewer',
    async handle({ gateway }) {
      return Response.json({ versions: await listPolicyVersions(gateway.db) });
    },
  },
  {
    method: 'GET',
    path: '/v1/policy/versions/:version',
    access: 'viewer',
    async handle({ gateway, param }) {
      const text = param('version');
      const found = /^\d{1,9}$/.test(text) ? await policyVersion(gateway.db, Number(text)) : undefined;
      if (found === undefined)
        throw new SppError('not-found', `There is no policy version ${JSON.stringify(text.slice(0, 32))}.`, {
          hint: 'GET /v1/policy/versions lists them.',
        });
      return policyResponse(found);
    },
  },
];

/** The document itself is the body, so that what was read can be changed and sent back as it is. */
function policyResponse({ version, document }: VersionedPolicy): Response {
  return Response.json(document, {
    headers: { etag: etagOf(version), 'x-policy-version': String(version), 'cache-control': 'no-store' },
  });
}
