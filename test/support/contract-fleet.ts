/** The gateway in workerd before two contract nodes, with the graded tiny artifact in two versions. */
import { expect, vi } from 'vitest';
import { defaultPolicy, type Policy } from '../../schema/policy.ts';
import type { LocalGatewayOptions } from '../../scripts/local/local-gateway.ts';
import { uploadArtifact } from '../../trainer/upload/upload-artifact.ts';
import { type ContractNode, contractNode } from './contract-node.ts';
import { type RequestOptions, secrets, type TestGateway, testGateway } from './gateway.ts';
import { writeGradedArtifact } from './graded-artifact.ts';
import { type Disposable, temporaryDirectory, tinyRequest } from './node-client.ts';

export const fleetInput = [[0.1, -0.2, 0.3, 0.4]];
export const MAX_BODY_BYTES = 20_000;

/** Levels 0 to 2 take 0.1, 1 and 5 s by what the nodes claim, so that no noise of this machine decides. */
const asNew = {
  levelMs: [100, 1000, 5000],
  version: 'v1',
  state: 'ready',
  load: 0,
  behaviour: 'answer',
  takeOver: undefined,
};

const open: Policy = {
  ...defaultPolicy,
  reserveMs: 0,
  tiers: [],
  defaultLatencyBudgetMs: 20_000,
  infeasible: 'refuse',
};

export interface NodeView {
  readonly name: string;
  readonly usable: boolean;
  readonly reason: string | null;
  readonly breaker: 'closed' | 'half-open' | 'open';
  readonly inFlightHere: number;
  readonly networkMs: { readonly p50Ms: number } | null;
  readonly report: { models: unknown; state: string; queueLength: number; startedAtMs: number } | null;
}

export interface ContractFleet {
  readonly gateway: TestGateway;
  readonly a: ContractNode;
  readonly b: ContractNode;
  /** Replaces the policy: no tiers, no reserve, refuses what does not fit. @returns its version */
  policy(over: Partial<Policy>): Promise<string>;
  /** The fleet as the gateway sees it. */
  nodes(): Promise<NodeView[]>;
  /** Waits until the gateway sees exactly these nodes as usable, and sees each as it is now. */
  usable(names: readonly string[]): Promise<void>;
  infer(budget?: string, init?: RequestOptions, path?: string): Promise<Response>;
  /** The level that answered. */
  levelOf(response: Promise<Response>): Promise<number>;
  /** Both nodes as they were at first, and the gateway knowing it. */
  reset(): Promise<void>;
}

export async function contractFleet(
  scope: Disposable,
  vars: Readonly<Record<string, string>> = {},
  options: Partial<LocalGatewayOptions> = {},
): Promise<ContractFleet> {
  const [a, b] = [await contractNode(scope, 'a'), await contractNode(scope, 'b')];
  const gateway = await testGateway(scope, {
    nodes: [a, b].map(({ name, url }) => ({ name, url })),
    ...options,
    vars: { MAX_BODY_BYTES: String(MAX_BODY_BYTES), PROBE_SHARE: '0', ...vars },
  });
  for (const version of ['v1', 'v2']) {
    const dir = await temporaryDirectory(scope);
    await writeGradedArtifact(dir, version);
    await uploadArtifact({ dir, url: gateway.url, token: secrets.operatorToken });
  }

  const nodes = async () =>
    ((await (await gateway.operator('GET', '/v1/nodes')).json()) as { nodes: NodeView[] }).nodes;

  const usable = (names: readonly string[]) =>
    vi.waitFor(
      async () => {
        const views = await nodes();
        expect(views.filter((view) => view.usable).map(({ name }) => name)).toEqual(names);
        for (const node of [a, b].filter(({ name }) => names.includes(name)))
          expect(views.find(({ name }) => name === node.name)?.report).toMatchObject(asReported(node));
      },
      { timeout: 20_000, interval: 50 },
    );

  const policy = async (over: Partial<Policy>) => {
    const current = await gateway.operator('GET', '/v1/policy');
    const headers = { 'if-match': current.headers.get('etag') as string };
    const put = await gateway.operator('PUT', '/v1/policy', { body: { ...open, ...over }, headers });
    expect(put.status).toBe(200);
    return put.headers.get('x-policy-version') as string;
  };

  return {
    gateway,
    a,
    b,
    policy,
    nodes,
    usable,
    infer: (budget, init = {}, path = '/v2/models/tiny/infer') =>
      gateway.client('POST', path, {
        body: tinyRequest(fleetInput, [2]),
        ...init,
        headers: { ...(budget === undefined ? {} : { 'x-latency-budget': budget }), ...init.headers },
      }),
    async levelOf(response) {
      const answer = await response;
      if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${await answer.text()}`);
      return Number(answer.headers.get('x-path-level'));
    },
    async reset() {
      for (const node of [a, b]) {
        await node.kill();
        // One that has misbehaved comes back as another process, of which the gateway thinks no ill.
        if (node.behaviour !== 'answer' || node.takeOver !== undefined) node.life++;
        Object.assign(node, asNew);
        node.seen.length = 0;
        await node.restart();
      }
      await policy({});
      await usable(['a', 'b']);
    },
  };
}

function asReported(node: ContractNode) {
  const levels = node.levelMs.map((p50Ms) => ({ profiles: [{ p50Ms }, { p50Ms }] }));
  return {
    state: node.state,
    startedAtMs: node.life,
    queueLength: node.load,
    models: [{ artifactVersion: node.version, levels }],
  };
}
