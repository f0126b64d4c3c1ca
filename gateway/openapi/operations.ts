/** What each route takes and answers, beside its address: the text of the OpenAPI document. A test holds it to the routes. */
import { z } from 'zod';
import { keyChangesSchema, newKeySchema, rotationSchema } from '../../schema/key-settings.ts';
import { manifestSchema } from '../../schema/manifest.ts';
import { heartbeatAnswerSchema, newNodeSchema, nodeChangesSchema } from '../../schema/node-registration.ts';
import { nodeReportSchema } from '../../schema/node-report.ts';
import { policySchema } from '../../schema/policy.ts';
import { decisionsQuerySchema } from '../routes/decisions.ts';
import { nodesQuerySchema } from '../routes/nodes.ts';
import { newOperatorTokenSchema } from '../routes/operator-tokens.ts';
import { followedPageSchema, idPageSchema, numberedPageSchema } from '../routes/page.ts';
import { dryRunQuerySchema, rollbackSchema } from '../routes/policy.ts';
import { uploadsQuerySchema } from '../routes/uploads.ts';
import * as answers from './answers.ts';
import { inferenceOperations } from './inference-operations.ts';
import type { Operation } from './operation.ts';

const policyTells = { etag: 'Version, for If-Match.', 'x-policy-version': 'The same as a number.' };

/** By method and path. */
export const operations: Readonly<Record<string, Operation>> = {
  ...inferenceOperations,
  'GET /v1/policy': {
    tag: 'policy',
    summary: 'The policy in force',
    answers: { 200: { json: policySchema } },
    tells: policyTells,
    // One that another version of the gateway has written.
    problems: ['bad-policy'],
  },
  'PUT /v1/policy': {
    tag: 'policy',
    summary: 'Put a policy in force',
    headers: ['if-match'],
    body: { json: policySchema },
    answers: { 200: { json: policySchema } },
    tells: { ...policyTells, 'x-policy-warnings': 'How many parts of it match nothing in some cases.' },
    problems: ['bad-policy', 'precondition-required', 'etag-mismatch'],
  },
  'POST /v1/policy/validate': {
    tag: 'policy',
    summary: 'Whether a policy could be put in force, and what it would change',
    body: { json: policySchema },
    answers: { 200: { json: answers.validationSchema } },
    problems: ['bad-policy'],
  },
  'POST /v1/policy/dry-run': {
    tag: 'policy',
    summary: 'What a policy would have done with recorded requests, beside the one in force',
    query: dryRunQuerySchema,
    body: { json: policySchema },
    answers: { 200: { json: answers.dryRunSchema } },
    problems: ['bad-policy'],
  },
  'POST /v1/policy/rollback': {
    tag: 'policy',
    summary: 'Put an earlier version in force again, as a new one',
    headers: ['if-match'],
    body: { json: rollbackSchema },
    answers: { 200: { json: policySchema } },
    tells: policyTells,
    problems: ['bad-policy', 'precondition-required', 'etag-mismatch', 'not-found'],
  },
  'GET /v1/policy/versions': {
    tag: 'policy',
    summary: 'Every version there has been, newest first',
    query: numberedPageSchema,
    answers: { 200: { json: answers.policyVersionsSchema } },
    problems: ['bad-request'],
  },
  'GET /v1/policy/versions/:version': {
    tag: 'policy',
    summary: 'One version of the policy',
    answers: { 200: { json: policySchema } },
    tells: policyTells,
    problems: ['not-found', 'bad-policy'],
  },
  'GET /v1/models': {
    tag: 'operation',
    summary: 'All models, with what each level is, takes and costs at the moment',
    answers: { 200: { json: answers.operatorModelsSchema } },
  },
  'POST /v1/keys': {
    tag: 'keys',
    summary: 'Make a key, which is shown this once',
    body: { json: newKeySchema },
    answers: { 201: { json: answers.newKeyViewSchema } },
    tells: { location: 'Address of the key.' },
  },
  'GET /v1/keys': {
    tag: 'keys',
    summary: 'All keys, newest first',
    query: idPageSchema,
    answers: { 200: { json: answers.keysSchema } },
    problems: ['bad-request', 'not-found'],
  },
  'GET /v1/keys/:id': {
    tag: 'keys',
    summary: 'One key',
    answers: { 200: { json: answers.keyViewSchema } },
    problems: ['not-found'],
  },
  'PATCH /v1/keys/:id': {
    tag: 'keys',
    summary: 'Change what a key may do; what is left out stays as it is',
    body: { json: keyChangesSchema },
    answers: { 200: { json: answers.keyViewSchema } },
    problems: ['not-found', 'conflict'],
  },
  'DELETE /v1/keys/:id': {
    tag: 'keys',
    summary: 'Revoke a key',
    answers: { 204: null },
    problems: ['not-found'],
  },
  'POST /v1/keys/:id/rotate': {
    tag: 'keys',
    summary:
      'Give a key a new secret, which is shown this once; the one before is good for the overlap, those before it for theirs, and none with an overlap of 0',
    body: { json: rotationSchema },
    answers: { 200: { json: answers.newKeyViewSchema } },
    problems: ['not-found', 'conflict'],
  },
  'GET /v1/keys/:id/limits': {
    tag: 'keys',
    summary: 'What a key has spent and sent in its current periods',
    answers: { 200: { json: answers.limitsSchema } },
    problems: ['not-found'],
  },
  'POST /v1/operator-tokens': {
    tag: 'operation',
    summary: 'Make an operator’s token, which is shown this once',
    body: { json: newOperatorTokenSchema },
    answers: { 201: { json: answers.newOperatorTokenViewSchema } },
    tells: { location: 'Address of the token.' },
  },
  'GET /v1/operator-tokens': {
    tag: 'operation',
    summary: 'All operators’ tokens, newest first',
    query: idPageSchema,
    answers: { 200: { json: answers.operatorTokensSchema } },
    problems: ['bad-request', 'not-found'],
  },
  'DELETE /v1/operator-tokens/:id': {
    tag: 'operation',
    summary: 'Revoke an operator’s token',
    answers: { 204: null },
    problems: ['not-found'],
  },
  'POST /v1/operator-tokens/:id/rotate': {
    tag: 'operation',
    summary:
      'Give an operator’s token a new secret, shown this once; the one before is good for the overlap, those before it for theirs, and none with an overlap of 0',
    body: { json: rotationSchema },
    answers: { 200: { json: answers.newOperatorTokenViewSchema } },
    problems: ['not-found', 'conflict'],
  },
  'POST /v1/nodes': {
    tag: 'fleet',
    summary: 'Register a node’s address; its token is shown this once',
    body: { json: newNodeSchema },
    answers: { 201: { json: answers.newNodeRegistrationSchema } },
    tells: { location: 'Address of the registration.' },
    problems: ['conflict'],
  },
  'GET /v1/nodes': {
    tag: 'fleet',
    summary:
      'The fleet, as the isolate that answers sees it, and what is registered; all of it, or with a limit by name',
    query: nodesQuerySchema,
    answers: { 200: { json: answers.nodesSchema } },
    problems: ['bad-request'],
  },
  'GET /v1/nodes/:name': {
    tag: 'fleet',
    summary: 'One registration',
    answers: { 200: { json: answers.nodeRegistrationSchema } },
    problems: ['not-found'],
  },
  'PATCH /v1/nodes/:name': {
    tag: 'fleet',
    summary: 'Take a node out of service or back in, or change its class; what is left out stays as it is',
    body: { json: nodeChangesSchema },
    answers: { 200: { json: answers.nodeRegistrationSchema } },
    problems: ['not-found', 'conflict'],
  },
  'POST /v1/nodes/:name/rotate': {
    tag: 'fleet',
    summary:
      'Give a node’s token a new secret, shown this once; the one before is good for the overlap, those before it for theirs, and none with an overlap of 0',
    body: { json: rotationSchema },
    answers: { 200: { json: answers.newNodeRegistrationSchema } },
    problems: ['not-found', 'conflict'],
  },
  'DELETE /v1/nodes/:name': {
    tag: 'fleet',
    summary: 'Forget a node; its token is good for nothing any more',
    answers: { 204: null },
    problems: ['not-found'],
  },
  'POST /v1/heartbeats': {
    tag: 'fleet',
    summary: 'What a registered node tells of itself, every few seconds',
    body: { json: nodeReportSchema },
    answers: { 200: { json: heartbeatAnswerSchema } },
  },
  'GET /metrics': {
    tag: 'operation',
    summary: 'What the isolate that answers has counted, for Prometheus',
    answers: { 200: { other: ['text/plain'] } },
  },
  'GET /v1/decisions': {
    tag: 'operation',
    summary: 'A sample of decisions with their reasons, newest first',
    query: decisionsQuerySchema,
    answers: { 200: { json: answers.decisionsSchema } },
    problems: ['bad-request'],
  },
  'GET /v1/decisions/:requestId': {
    tag: 'operation',
    summary: 'The decision on one request, where it was kept, with what it was made from',
    answers: { 200: { json: answers.decisionsOfRequestSchema } },
    problems: ['not-found'],
  },
  'GET /v1/audit': {
    tag: 'operation',
    summary: 'Changes by operators, newest first',
    query: followedPageSchema,
    answers: { 200: { json: answers.auditSchema } },
    problems: ['bad-request'],
  },
  'GET /v1/artifacts/:model': {
    tag: 'artifacts',
    summary: 'Complete versions of a model’s artifact, newest first',
    query: numberedPageSchema,
    answers: { 200: { json: answers.artifactIndexSchema } },
    problems: ['unknown-model', 'bad-request'],
  },
  'DELETE /v1/artifacts/:model/:version': {
    tag: 'artifacts',
    summary:
      'Delete a version, or what there is of an upload that was never complete; sent again, it finishes what was begun. The name of a version stays taken, that of an upload without a manifest for a minute',
    answers: { 204: null },
    problems: ['unknown-artifact', 'in-use'],
  },
  'GET /v1/artifacts/:model/:version/:file': {
    tag: 'artifacts',
    summary: 'A file of an artifact, or a range of it',
    headers: ['range', 'if-none-match', 'if-range'],
    answers: {
      200: { json: manifestSchema, other: ['application/octet-stream'] },
      206: { other: ['application/octet-stream', 'application/json'] },
      304: null,
    },
    tells: { etag: 'The file’s sha256.', 'x-content-sha256': 'The same in hex.' },
    problems: ['unknown-artifact', 'range-not-satisfiable'],
  },
  'PUT /v1/artifacts/:model/:version/:file': {
    tag: 'artifacts',
    summary: 'Upload a file; `manifest.json` last, which activates the version',
    headers: ['x-content-sha256'],
    body: { json: z.unknown(), other: ['application/octet-stream'] },
    answers: {
      200: { json: z.union([answers.artifactFileAnswerSchema, answers.activationSchema]) },
      201: { json: z.union([answers.artifactFileAnswerSchema, answers.activationSchema]) },
    },
    problems: ['bad-header', 'bad-artifact', 'upload-incomplete', 'conflict'],
  },
  'GET /v1/uploads': {
    tag: 'artifacts',
    summary:
      'Files of no complete version, by version in the order of their names: uploads that go on or were broken off, and what deletions left that were. Pages may be short, or empty, with others behind them',
    query: uploadsQuerySchema,
    answers: { 200: { json: answers.uploadsSchema } },
    problems: ['bad-request'],
  },
  'GET /problems': {
    tag: 'documents',
    summary: 'Every problem type',
    answers: {
      200: { json: z.strictObject({ problems: z.array(answers.problemPageSchema) }), other: ['text/html'] },
    },
  },
  'GET /problems/:code': {
    tag: 'documents',
    summary: 'What a problem type means, and what to do',
    answers: { 200: { json: answers.problemPageSchema, other: ['text/html'] } },
    problems: ['not-found'],
  },
  'GET /console': {
    tag: 'documents',
    summary: 'The operator’s console, a page',
    answers: { 200: { other: ['text/html'] } },
    problems: ['not-found'],
  },
  'GET /console/:file': {
    tag: 'documents',
    summary: 'What that page is made of',
    answers: { 200: { other: ['text/html', 'text/javascript', 'text/css'] } },
    problems: ['not-found'],
  },
  'GET /openapi.json': {
    tag: 'documents',
    summary: 'This document',
    answers: { 200: { json: z.looseObject({ openapi: z.string() }) } },
  },
};
