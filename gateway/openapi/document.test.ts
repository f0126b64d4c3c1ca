import { describe, expect, test } from 'vitest';
import { routes } from '../app.ts';
import { openApiDocument } from './document.ts';
import { operations } from './operations.ts';

interface Described {
  readonly operationId: string;
  readonly parameters?: { readonly name: string; readonly in: string }[];
  readonly security: readonly object[];
  readonly responses: Readonly<Record<string, object>>;
}

const document = openApiDocument(routes) as {
  openapi: string;
  paths: Record<string, Record<string, Described>>;
  components: { schemas: object };
};
const all = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({ path, method, described })),
);

describe('the OpenAPI document', () => {
  test('describes every route, and nothing else', () => {
    const addresses = routes.map(({ method, path }) => `${method} ${path}`);
    expect(Object.keys(operations).toSorted()).toEqual(addresses.toSorted());
    expect(all).toHaveLength(routes.length);
  });

  test('declares every parameter of a path, and each operation once', () => {
    for (const { path, described } of all) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = (described.parameters ?? []).filter((parameter) => parameter.in === 'path');
      expect(declared.map(({ name }) => name)).toEqual(named);
    }
    expect(new Set(all.map(({ described }) => described.operationId)).size).toBe(all.length);
  });

  test('says of each route whose credentials it takes, and that others are refused', () => {
    for (const { described } of all) {
      expect('401' in described.responses).toBe(described.security.length > 0);
      expect(described.responses).toHaveProperty('500');
    }
  });

  test('is plain JSON whose references all lead somewhere', () => {
    const text = JSON.stringify(document);
    expect(JSON.parse(text)).toEqual(document);
    const references = new Set(
      [...text.matchAll(/"\$ref":"#([^"]+)"/g)].map(([, pointer]) => pointer as string),
    );
    expect(references.size).toBeGreaterThan(0);
    for (const pointer of references) {
      const found = pointer
        .split('/')
        .slice(1)
        .reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], document);
      expect(found, pointer).toBeTypeOf('object');
    }
  });

  test('has the policy’s bounds as the gateway checks them', () => {
    expect(document.paths['/v1/policy']?.put).toMatchObject({
      requestBody: {
        content: {
          'application/json': {
            schema: {
              additionalProperties: false,
              properties: { quantile: { minimum: 0.5, maximum: 0.999 } },
              required: [
                'schemaVersion',
                'quantile',
                'defaultLatencyBudgetMs',
                'reserveMs',
                'infeasible',
                'tiers',
              ],
            },
          },
        },
      },
    });
  });
});
