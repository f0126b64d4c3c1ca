/**
 * What the gateway asks of the runtime with each request, and nothing else: no key, no policy, no choice. It has both bodies
 * whole before it goes on (the one to look at it and to be able to send it twice, the other to be able to tell of a node that
 * breaks off), a timer for the budget's end, and the same headers, read and written. What the gateway takes beyond this is
 * its own. Told to, it hands both bodies on as they come, which shows what having them whole costs.
 */
import type { NodeNetwork } from '../../gateway/nodes/node-network.ts';

interface Bindings {
  readonly NODE: string;
  readonly NODE_NETWORK: NodeNetwork;
  readonly BODIES: 'held' | 'unheld';
}

const steady = new Headers({
  'content-type': 'application/json',
  'x-artifact-version': 'v1',
  'x-path-level': '3',
  'x-path-sparsity': '0',
  'x-path-quality': '0.95',
  'x-policy-version': '2',
  'x-path-decision': 'fits',
});

const asked = [
  'x-request-id',
  'x-latency-budget',
  'authorization',
  'x-cost-budget',
  'x-min-quality',
  'x-sla-class',
  'x-explain',
  'inference-header-content-length',
  'content-type',
  'content-encoding',
  'content-length',
  'traceparent',
];
const answered = [
  'content-length',
  'server-timing',
  'x-path-level',
  'x-artifact-version',
  'content-type',
  'retry-after',
  'inference-header-content-length',
  'x-path-stepped-from',
];

/** @returns how many of them are there */
function looked(headers: Headers, names: readonly string[]): number {
  let there = 0;
  for (const name of names) if (headers.get(name) !== null) there++;
  return there;
}

export default {
  async fetch(request: Request, { NODE, NODE_NETWORK, BODIES }: Bindings): Promise<Response> {
    setTimeout(() => {}, 10_000);
    let seen = looked(request.headers, asked);
    const held = BODIES === 'held';
    const body = held ? await request.arrayBuffer() : request.body;
    const answer = await NODE_NETWORK.fetch(`${NODE}/v2/models/bench/versions/3/infer`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer node-token-of-the-benchmark-01',
        'x-request-id': '0123456789abcdef0123456789abcdef',
        traceparent: '00-0123456789abcdef0123456789abcdef-0123456789abcdef-00',
        'x-latency-budget-remaining': '9999.5',
        'x-path-min-level': '0',
      },
      body,
      redirect: 'manual',
    });
    const bytes = held ? await answer.arrayBuffer() : answer.body;
    seen += looked(answer.headers, answered);
    const response = new Response(bytes, { status: answer.status, headers: steady });
    const { headers } = response;
    headers.set('x-latency-budget-remaining', '9998');
    headers.set('x-cost', String(seen));
    headers.set('server-timing', answer.headers.get('server-timing') ?? '');
    headers.set('x-request-id', '0123456789abcdef0123456789abcdef');
    return response;
  },
};
