/** /metrics of a real node: what its requests were, as Prometheus reads it. */
import { afterEach, expect, test } from 'vitest';
import {
  disposables,
  inferOk,
  post,
  readyNode,
  tinyArtifact,
  tinyRequest,
} from '../../test/support/node-client.ts';

const scope = disposables();
afterEach(() => scope.dispose());

test('the node counts answers, kept deadlines and refusals, and tells nobody without the token', async () => {
  const directory = await tinyArtifact(scope);
  const node = await readyNode(scope, { artifact: directory, auth: 'token', token: 'secret' });
  const authorization = { authorization: 'Bearer secret' };
  const url = `${node.url}/v2/models/tiny/versions/1/infer`;
  const request = tinyRequest([[1, 2, 3, 4]], [0]);
  await inferOk(url, request, { ...authorization, 'x-latency-budget': '10s' });
  await inferOk(url, request, authorization);
  const late = { ...authorization, 'x-latency-budget-remaining': '0' };
  expect((await post(url, request, late)).status).toBe(504);
  expect((await post(url, { inputs: [] }, authorization)).status).toBe(400);

  expect((await post(url, request, { authorization: 'Bearer wrong' })).status).toBe(401);

  expect((await fetch(`${node.url}/metrics`)).status).toBe(401);
  const response = await fetch(`${node.url}/metrics`, { headers: authorization });
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=/);
  const lines = (await response.text()).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'spp_node_requests_total{level="1",asked="1"} 2',
      'spp_node_deadlines_total{outcome="kept"} 1',
      'spp_node_deadlines_total{outcome="refused"} 1',
      'spp_node_refusals_total{code="budget-overrun"} 1',
      'spp_node_refusals_total{code="bad-request"} 1',
      'spp_node_refusals_total{code="unauthorized"} 1',
      'spp_node_resident_levels 3',
      'spp_node_ready 1',
    ]),
  );
});
