/** Isolates of one deployment in this process, on one database in memory and a clock that the test sets. */
import { Miniflare } from 'miniflare';
import { migrate } from '../scripts/local/migrate.ts';
import { declaredIn } from '../test/support/declared.ts';
import { createApp, routes } from './app.ts';
import { createGateway, type Gateway } from './gateway.ts';
import { openApiDocument } from './openapi/document.ts';
import type { Bindings } from './settings.ts';

export const secrets = {
  operatorToken: 'operator-operator-operator',
  nodeToken: 'node-node-node-node-node',
  keyPepper: 'pepper-pepper-pepper-pepper',
};

const requireDeclared = declaredIn(openApiDocument(routes));

export interface Isolate {
  readonly gateway: Gateway;
  ask(method: string, path: string, token: string, body?: unknown, headers?: object): Promise<Response>;
}

/** A deployment that has no nodes and no model. */
export interface Deployment {
  readonly bindings: Bindings;
  dispose(): Promise<void>;
}

export async function deployment(): Promise<Deployment> {
  const miniflare = new Miniflare({
    modules: true,
    script: 'export default {}',
    compatibilityDate: '2026-07-01',
    d1Databases: { DB: 'isolates' },
    r2Buckets: { ARTIFACTS: 'isolates' },
  });
  const db = await miniflare.getD1Database('DB');
  await migrate(db);
  const bindings = {
    DB: db,
    ARTIFACTS: await miniflare.getR2Bucket('ARTIFACTS'),
    OPERATOR_TOKEN: secrets.operatorToken,
    NODE_TOKEN: secrets.nodeToken,
    KEY_PEPPER: secrets.keyPepper,
  } as unknown as Bindings;
  return { bindings, dispose: () => miniflare.dispose() };
}

/** @param now milliseconds since the epoch */
export function isolate(bindings: Bindings, now: () => number = Date.now): Isolate {
  const gateway = createGateway(bindings, now);
  const app = createApp(gateway);
  return {
    gateway,
    async ask(method, path, token, body, headers = {}) {
      const work: Promise<unknown>[] = [];
      const context = { waitUntil: (promise: Promise<unknown>) => void work.push(promise) };
      const request = new Request(`http://gateway${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const response = await app.fetch(request, {}, context as unknown as ExecutionContext);
      await Promise.all(work);
      requireDeclared(method, path, response);
      return response;
    },
  };
}

/** The database, of which no answer is heard before that is done: what others do meanwhile comes between. */
export function heardAfter(db: D1Database, meanwhile: () => Promise<void>): D1Database {
  const statements = new WeakMap<object, D1PreparedStatement>();
  const late = async <T>(answer: Promise<T>): Promise<T> => {
    const answered = await answer;
    await meanwhile();
    return answered;
  };
  const wrapped = (statement: D1PreparedStatement): object => {
    const wrapper = {
      bind: (...values: unknown[]) => wrapped(statement.bind(...values)),
      all: () => late(statement.all()),
      raw: () => late(statement.raw()),
      run: () => late(statement.run()),
    };
    statements.set(wrapper, statement);
    return wrapper;
  };
  const client = {
    prepare: (query: string) => wrapped(db.prepare(query)),
    batch: (batch: object[]) =>
      late(db.batch(batch.map((wrapper) => statements.get(wrapper) as D1PreparedStatement))),
  };
  return client as unknown as D1Database;
}
