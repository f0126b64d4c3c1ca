/** The OpenAPI 3.1 document, made from the routes, their operations and the zod schemas that they parse by. */
import { z } from 'zod';
import { type ProblemCode, problems } from '../../schema/errors.ts';
import type { Access } from '../auth/identity.ts';
import type { Route } from '../route.ts';
import { problemSchema } from './answers.ts';
import { headerParameters } from './headers.ts';
import type { Content, Operation } from './operation.ts';
import { operations } from './operations.ts';

const credentials = {
  open: [],
  client: [{ clientKey: [] }],
  viewer: [{ operator: [] }],
  operator: [{ operator: [] }],
  admin: [{ operator: [] }],
  node: [{ registeredNode: [] }],
  artifacts: [{ operator: [] }, { node: [] }, { registeredNode: [] }],
  metrics: [{ operator: [] }, { scraper: [] }],
} as const satisfies Record<Access, readonly object[]>;

/** What any route of an access may be answered with, whatever it does. */
const accessProblems = {
  open: [],
  client: ['unauthorized', 'rate-limited', 'not-ready'],
  viewer: ['unauthorized', 'not-ready'],
  operator: ['unauthorized', 'forbidden', 'not-ready'],
  admin: ['unauthorized', 'forbidden', 'not-ready'],
  node: ['unauthorized', 'not-ready'],
  artifacts: ['unauthorized', 'not-ready'],
  metrics: ['unauthorized', 'not-ready'],
} as const satisfies Record<Access, readonly ProblemCode[]>;

const bodyProblems = ['bad-request', 'bad-json', 'body-too-large', 'unsupported-media-type'] as const;

export function openApiDocument(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const operation = operations[`${route.method} ${route.path}`];
    if (operation === undefined) throw new Error(`${route.method} ${route.path} is not described.`);
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describe(route, operation) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'solution-path gateway',
      version: '1',
      description:
        'Inference by the Open Inference Protocol v2 at the level that latency and cost budgets pay for, and its operation. Errors are RFC 9457 problem documents.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: ['inference', 'policy', 'keys', 'fleet', 'operation', 'artifacts', 'documents'].map((name) => ({
      name,
    })),
    paths,
    components: {
      securitySchemes: {
        clientKey: { type: 'http', scheme: 'bearer', description: 'An API key, `sp_...`.' },
        operator: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An operator’s token, `op_...`, the deployment’s own, or one of the identity provider’s.',
        },
        node: { type: 'http', scheme: 'bearer', description: 'The secret shared with nodes.' },
        scraper: { type: 'http', scheme: 'bearer', description: 'The secret for metrics.' },
        registeredNode: {
          type: 'http',
          scheme: 'bearer',
          description: 'The token of one registered node, `nd_...`.',
        },
      },
      schemas: { Problem: jsonSchema(problemSchema, 'output') },
    },
  };
}

function describe({ method, path, access }: Route, operation: Operation): object {
  const { tag, summary, headers = [], query, body, answers, tells = {}, problems: own = [] } = operation;
  const codes = [
    ...accessProblems[access],
    ...(body === undefined ? [] : bodyProblems),
    ...own,
    'internal' as const,
  ];
  const parameters = [...pathParameters(path), ...queryParameters(query), ...headerParameters(headers)];
  return {
    operationId: operationId(method, path),
    tags: [tag],
    summary,
    security: credentials[access],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, content: content(body, 'input') } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          {
            description: summary,
            ...(Object.keys(tells).length === 0 ? {} : { headers: headerDocs(tells) }),
            ...(answer === null ? {} : { content: content(answer, 'output') }),
          },
        ]),
      ),
      ...problemResponses(codes),
    },
  };
}

function problemResponses(codes: readonly ProblemCode[]): Record<string, object> {
  const byStatus = Map.groupBy(new Set(codes), (code) => problems[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, here]) => [
      status,
      {
        description: here.map((code) => `${problems[code].title} (\`/problems/${code}\`)`).join('; '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

function content({ json, other = [] }: Content, io: 'input' | 'output'): Record<string, object> {
  return {
    ...(json === undefined ? {} : { 'application/json': { schema: jsonSchema(json, io) } }),
    ...Object.fromEntries(other.map((type) => [type, {}])),
  };
}

function headerDocs(tells: Readonly<Record<string, string>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(tells).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', minLength: 1, maxLength: 128 },
  }));
}

function queryParameters(query: z.ZodObject | undefined): object[] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = jsonSchema(query, 'output') as {
    properties?: Record<string, object>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    // What has a default need not be sent.
    required: required.includes(name) && !('default' in schema),
    schema,
  }));
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    io,
    target: 'draft-2020-12',
    unrepresentable: 'any',
  });
  return rest;
}

function operationId(method: string, path: string): string {
  const words = path.split(/[/:.]+/).filter((word) => word !== '');
  return [method.toLowerCase(), ...words.map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join(
    '',
  );
}
