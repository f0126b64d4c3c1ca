/** /metrics of a real node: what its requests were, as Prometheus reads it. */
import { afterEach, expect, test } from 'vitest';
import { connect } from '../../scripts/bench-node/http-exchange.ts';
import { gatedThreads } from '../../test/support/gated-threads.ts';
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

test('who leaves while the run is on is not counted as answered', async () => {
  const threads = gatedThreads();
  const node = await readyNode(scope, { artifact: await tinyArtifact(scope) }, { spawn: threads.spawn });
  const url = `${node.url}/v2/models/tiny/infer`;
  const request = tinyRequest([[1, 2, 3, 4]], [0]);
  const body = JSON.stringify(request);
  const leaves = await connect(Number(new URL(node.url).port));
  threads.hold();
  leaves.write(
    `POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nX-Latency-Budget: 20s\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await threads.held(1);
  leaves.resetAndDestroy();
  const stays = inferOk(url, request, { 'x-latency-budget': '20s' });
  await expect.poll(() => node.report().queueLength).toBe(1);
  // Another request's way, so that the server has read the reset.
  await (await fetch(`${node.url}/v2/health/live`)).arrayBuffer();
  threads.release();
  await stays;
  const counted = async () => (await (await fetch(`${node.url}/metrics`)).text()).split('\n');
  expect(await counted()).toEqual(
    expect.arrayContaining([
      'spp_node_requests_total{level="2",asked="2"} 1',
      'spp_node_refusals_total{code="client-gone"} 1',
      'spp_node_deadlines_total{outcome="kept"} 1',
      'spp_node_deadlines_total{outcome="missed"} 0',
      'spp_node_execute_seconds_count{level="2"} 2',
    ]),
  );
});
