import { describe, expect, test } from 'vitest';
import { type Route, routeMatcher } from './routes.ts';

const handle = () => ({ status: 200, headers: {}, body: '' });
const routes: Route[] = [
  { method: 'GET', path: '/v2', handle },
  { method: 'GET', path: '/v2/models/:model', handle },
  { method: 'GET', path: '/v2/models/:model/ready', handle },
  { method: 'POST', path: '/v2/models/:model/infer', handle },
];
const match = routeMatcher(routes);

describe('a path', () => {
  test.each([
    ['GET', '/v2', '/v2', {}],
    ['HEAD', '/v2', '/v2', {}],
    ['GET', '/v2/models/a%2Fb', '/v2/models/:model', { model: 'a/b' }],
    ['GET', '/v2/models/%ff', '/v2/models/:model', { model: '%ff' }],
    ['GET', '/v2/models/ready/ready', '/v2/models/:model/ready', { model: 'ready' }],
    ['POST', '/v2/models/__proto__/infer', '/v2/models/:model/infer', { model: '__proto__' }],
  ])('%s %s has its route', (method, path, route, params) => {
    expect(match(method, path)).toMatchObject({ route: { path: route }, params });
  });

  test('says what it takes where the method is another, and nothing where it is not known', () => {
    expect(match('POST', '/v2')).toEqual({ route: undefined, params: {}, allow: ['GET'] });
    for (const path of ['', '/', '/v2/', '/V2', '/v2/models/', '/v2/models//ready', '/v2/models/a/b/c'])
      expect(match('GET', path), path).toEqual({ route: undefined, params: {}, allow: [] });
  });
});
