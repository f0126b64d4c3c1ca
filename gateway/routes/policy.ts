/** The operator's policy: read, look what a change would do, make it, look back, go back. */
import { z } from 'zod';
import { SppError } from '../../schema/errors.ts';
import { type Policy, policySchema } from '../../schema/policy.ts';
import { actorOf } from '../auth/identity.ts';
import { type ChangedRequest, dryRun, replayedUnder } from '../decisions/dry-run.ts';
import { etagOf, requireMatch } from '../http/etag.ts';
import { type Findings, holdAgainst } from '../policy/applicability.ts';
import { diff } from '../policy/diff.ts';
import { type Call, queryOf, type Route, readDocument, validated } from '../route.ts';
import { recordedDecisions } from '../storage/decisions.ts';
import {
  currentPolicy,
  listPolicyVersions,
  policyInForce,
  policyVersion,
  replacePolicy,
  standingPolicy,
  type VersionedPolicy,
} from '../storage/policies.ts';
import { surroundingsOf } from '../storage/surroundings.ts';
import { nextOf, numberedPageSchema, pageOf } from './page.ts';

export const dryRunQuerySchema = z.strictObject({
  /** The newest so many of the recorded decisions are replayed. */
  limit: z.coerce.number().int().min(1).max(2000).default(500),
});

export const rollbackSchema = z.strictObject({
  /** The version to go back to. */
  version: z.int().nonnegative(),
});

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
      const document = await readDocument(call, policySchema, 'bad-policy', 'The policy');
      return putInForce(call, await matched(call), document);
    },
  },
  {
    method: 'POST',
    path: '/v1/policy/validate',
    access: 'viewer',
    async handle(call) {
      const document = await readDocument(call, policySchema, 'bad-policy', 'The policy');
      const { warnings } = await applicable(call, document);
      const current = await standingPolicy(call.gateway.db);
      return Response.json({
        valid: true,
        warnings,
        against: current.version,
        changes: diff(current.document, document),
      });
    },
  },
  {
    method: 'POST',
    path: '/v1/policy/dry-run',
    access: 'viewer',
    async handle(call) {
      const { gateway, request } = call;
      const query = queryOf(request);
      const { limit } = validated(query, dryRunQuerySchema, 'bad-request', 'The query');
      const document = await readDocument(call, policySchema, 'bad-policy', 'The policy');
      const { warnings } = await applicable(call, document);
      const current = await policyInForce(gateway.db);
      const { canary } = document;
      const rest = canary?.kind === 'policy' ? await policyVersion(gateway.db, canary.baseline) : undefined;
      const inForce = { document: current.document, baseline: current.baseline?.document };
      const tried = { document, baseline: rest?.document };
      const pairs: ChangedRequest[] = [];
      for await (const recorded of recordedDecisions(gateway.db, limit))
        pairs.push(...replayedUnder(inForce, tried, recorded));
      return Response.json({
        against: current.version,
        warnings: [...warnings, ...notReplayed(document, current.document)],
        ...dryRun(pairs),
      });
    },
  },
  {
    method: 'POST',
    path: '/v1/policy/rollback',
    access: 'operator',
    async handle(call) {
      const { version } = await readDocument(call, rollbackSchema, 'bad-request', 'The rollback');
      const expected = await matched(call);
      const { document } = await findVersion(call, String(version));
      return putInForce(call, expected, document, version);
    },
  },
  {
    method: 'GET',
    path: '/v1/policy/versions',
    access: 'viewer',
    async handle({ gateway, request }) {
      const { limit, before } = pageOf(request, numberedPageSchema);
      const versions = await listPolicyVersions(gateway.db, limit, before);
      return Response.json({ versions, next: nextOf(versions, limit, ({ version }) => version) });
    },
  },
  {
    method: 'GET',
    path: '/v1/policy/versions/:version',
    access: 'viewer',
    async handle(call) {
      return policyResponse(await findVersion(call, call.param('version')));
    },
  },
];

/** @throws `precondition-required` or `etag-mismatch` unless If-Match names the version in force, which is returned */
async function matched({ gateway, request }: Call): Promise<number> {
  const { version } = await standingPolicy(gateway.db);
  requireMatch(request.headers.get('if-match'), version);
  return version;
}

async function putInForce(
  call: Call,
  expected: number,
  document: Policy,
  rollbackTo?: number,
): Promise<Response> {
  const { gateway, identity } = call;
  const { warnings } = await applicable(call, document);
  const next = await replacePolicy(gateway.db, {
    expected,
    document,
    rollbackTo,
    actor: actorOf(identity),
    nowMs: gateway.now(),
  });
  // This isolate's next decision follows it; others see it when their copy is refreshed.
  await gateway.policy.reload();
  return policyResponse(next, warnings);
}

/** @throws `bad-policy` when the policy can match nothing, or names what is not there */
async function applicable({ gateway }: Call, document: Policy): Promise<Findings> {
  const findings = holdAgainst(document, await surroundingsOf(gateway.db, document, gateway.settings.nodes));
  const [first] = findings.errors;
  if (first === undefined) return findings;
  const where = first.path === '' ? '' : `${first.path}: `;
  throw new SppError('bad-policy', `The policy cannot be put in force. ${where}${first.message}.`, {
    hint: 'GET /v2/models/{model} lists the levels with their quality and sparsity; GET /v1/keys the keys.',
    details: { ...findings },
  });
}

/** What a replay cannot show: the levels and times of an artifact version that the recorded requests did not go to. */
function notReplayed({ canary }: Policy, { canary: before }: Policy): Findings['warnings'] {
  if (canary?.kind !== 'artifact' || diff(before, canary).length === 0) return [];
  return [
    {
      path: 'canary',
      message: 'does not show here: recorded requests are replayed on the artifact version that they went to',
    },
  ];
}

async function findVersion({ gateway }: Call, text: string): Promise<VersionedPolicy> {
  const found = /^\d{1,9}$/.test(text) ? await policyVersion(gateway.db, Number(text)) : undefined;
  if (found !== undefined) return found;
  throw new SppError('not-found', `There is no policy version ${JSON.stringify(text.slice(0, 32))}.`, {
    hint: 'GET /v1/policy/versions lists them.',
  });
}

/** The document itself is the body, so that what was read can be changed and sent back as it is. */
function policyResponse(
  { version, document }: VersionedPolicy,
  warnings: Findings['warnings'] = [],
): Response {
  return Response.json(document, {
    headers: {
      etag: etagOf(version),
      'x-policy-version': String(version),
      'x-policy-warnings': String(warnings.length),
      'cache-control': 'no-store',
    },
  });
}
