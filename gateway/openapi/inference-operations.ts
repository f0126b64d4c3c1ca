/** The Open Inference Protocol's operations, which clients use. */
import { inferRequestSchema } from '../../schema/protocol.ts';
import * as answers from './answers.ts';
import type { Operation } from './operation.ts';

const budgets = ['x-latency-budget', 'x-cost-budget', 'x-min-quality', 'x-sla-class', 'x-explain'] as const;

const inferTells = {
  'x-path-level': 'Level that answered.',
  'x-path-sparsity': 'Share of the dense model that the level leaves out.',
  'x-path-quality': 'Quality of the level, as measured when it was built.',
  'x-path-decision':
    '`fits`, or `infeasible-served-sparsest`, `infeasible-served-pinned`, `overload-served-sparsest`.',
  'x-cost': 'US dollars that the request was charged.',
  'x-policy-version': 'Version of the policy that governed the request.',
  'x-artifact-version': 'Artifact version that answered.',
  'x-latency-budget-remaining': 'Milliseconds left of the latency budget.',
  'server-timing': 'Milliseconds spent: select, queue, execute, network.',
  'x-path-explanation': 'Reasons of the decision as JSON, where they were asked for.',
};

const infer: Omit<Operation, 'summary'> = {
  tag: 'inference',
  headers: budgets,
  body: { json: inferRequestSchema, other: ['application/octet-stream'] },
  answers: { 200: { json: answers.inferAnswerSchema, other: ['application/octet-stream'] } },
  tells: inferTells,
  problems: [
    'bad-header',
    'bad-shape',
    'bad-datatype',
    'request-timeout',
    'expectation-failed',
    'unknown-model',
    'unknown-level',
    'forbidden',
    'budget-infeasible',
    'cost-infeasible',
    'cost-exhausted',
    'queue-full',
    'overloaded',
    'no-node',
    'level-unavailable',
    'draining',
    'deadline-hopeless',
    'budget-overrun',
    'upstream-failed',
  ],
};

/** By method and path. */
export const inferenceOperations: Readonly<Record<string, Operation>> = {
  'GET /v2': {
    tag: 'inference',
    summary: 'What the server is',
    answers: { 200: { json: answers.serverViewSchema } },
  },
  'GET /v2/health/live': {
    tag: 'inference',
    summary: 'Whether the gateway runs',
    answers: { 200: { json: answers.liveSchema } },
  },
  'GET /v2/health/ready': {
    tag: 'inference',
    summary: 'Whether some model is served',
    answers: { 200: { json: answers.readySchema } },
    problems: ['not-ready'],
  },
  'GET /v2/models/:model': {
    tag: 'inference',
    summary: 'A model and its levels, with what each takes now',
    answers: { 200: { json: answers.modelViewSchema } },
    problems: ['unknown-model'],
  },
  'GET /v2/models/:model/ready': {
    tag: 'inference',
    summary: 'Whether a node serves the model',
    answers: { 200: { json: answers.modelReadySchema } },
    problems: ['unknown-model', 'no-node'],
  },
  'GET /v2/models/:model/versions/:level': {
    tag: 'inference',
    summary: 'One level',
    answers: { 200: { json: answers.modelViewSchema } },
    problems: ['unknown-model', 'unknown-level'],
  },
  'GET /v2/models/:model/versions/:level/ready': {
    tag: 'inference',
    summary: 'Whether a node serves the level',
    answers: { 200: { json: answers.modelReadySchema } },
    problems: ['unknown-model', 'unknown-level', 'no-node', 'level-unavailable'],
  },
  'POST /v2/models/:model/infer': { ...infer, summary: 'Inference at the level that the budgets pay for' },
  'POST /v2/models/:model/versions/:level/infer': { ...infer, summary: 'Inference at this level' },
};
