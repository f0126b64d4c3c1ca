/** Ways to route to real nodes: the gateway in workerd, and simpler ones that go to the nodes themselves. */
import { zeroInputs } from '../../infra/node/tensors.ts';
import { formatMs, headerNames } from '../../schema/headers.ts';
import type { Manifest } from '../../schema/manifest.ts';
import { binaryRequest } from '../bench-node/requests.ts';
import type { RealNode } from './real-nodes.ts';
import type { Reply, Sender } from './sender.ts';

/** @returns the last answer; undefined where there was none */
export type RealRouter = (budgetMs: number, index: number) => Promise<Reply | undefined>;

export interface RealRouting {
  readonly manifest: Manifest;
  readonly nodes: readonly RealNode[];
  readonly gateway: { readonly port: number; readonly key: string };
  readonly sender: Sender;
}

/** A node that a connection was lost to is left alone for so long. */
const SHUNNED_MS = 1000;

export function realRouters({
  manifest,
  nodes,
  gateway,
  sender,
}: RealRouting): Readonly<Record<string, RealRouter>> {
  const inputs = zeroInputs(manifest.inputs);
  const dense = manifest.levels.length - 1;
  const underWay = new Map<string, number>(nodes.map(({ name }) => [name, 0]));
  const lostAtMs = new Map<string, number>();

  const direct = async (node: RealNode, level: number, leftMs: number) => {
    const request = binaryRequest(manifest, inputs, level, {
      [headerNames.budgetRemaining]: formatMs(leftMs),
    });
    underWay.set(node.name, (underWay.get(node.name) ?? 0) + 1);
    const reply = await sender.send(node.port, request);
    underWay.set(node.name, (underWay.get(node.name) ?? 0) - 1);
    if (reply === undefined) lostAtMs.set(node.name, performance.now());
    return reply;
  };
  /** One more try elsewhere where the connection was lost, as the gateway has. */
  const twice = async (
    budgetMs: number,
    level: number,
    pick: (tried: readonly RealNode[]) => RealNode | undefined,
  ) => {
    const startMs = performance.now();
    const tried: RealNode[] = [];
    while (tried.length < 2) {
      const leftMs = budgetMs - (performance.now() - startMs);
      const node = pick(tried);
      if (leftMs <= 0 || node === undefined) return undefined;
      const reply = await direct(node, level, leftMs);
      if (reply !== undefined) return reply;
      tried.push(node);
    }
    return undefined;
  };
  const usable = (tried: readonly RealNode[]) =>
    nodes.filter(
      (node) =>
        !tried.includes(node) &&
        performance.now() - (lostAtMs.get(node.name) ?? Number.NEGATIVE_INFINITY) > SHUNNED_MS,
    );
  const leastLoaded = (tried: readonly RealNode[]) =>
    usable(tried).toSorted((a, b) => (underWay.get(a.name) ?? 0) - (underWay.get(b.name) ?? 0))[0];

  return {
    ours: (budgetMs) =>
      sender.send(
        gateway.port,
        binaryRequest(manifest, inputs, undefined, {
          authorization: `Bearer ${gateway.key}`,
          [headerNames.latencyBudget]: `${formatMs(budgetMs)}ms`,
        }),
      ),
    'round-robin, dense': (budgetMs, index) =>
      twice(budgetMs, dense, (tried) => nodes[(index + tried.length) % nodes.length]),
    'static middle level': (budgetMs) => twice(budgetMs, Math.floor(dense / 2), leastLoaded),
    'greedy cheapest': (budgetMs) => twice(budgetMs, 0, leastLoaded),
  };
}
