/**
 * The fleet as flat arrays, for one version of a model, one quantile and one batch size. It is kept from request to request:
 * a node's column is set anew when something was learned of it, its load with each request.
 *
 *             node 0        node 1      ...
 *   level a   [0]           [1]               executeMs, costNanoUsd, perKiBNanoUsd: one entry a (level, node)
 *   level b   [nodes + 0]   [nodes + 1]       networkMs, waitMs, usable ...: one entry a node
 */
import { costNanoUsd, type LevelOption, type NodeOption, type PriceOf } from './candidates.ts';
import { executeTime, queueTime } from './predict.ts';
import { timeAt } from './quantiles.ts';

export interface CandidateTable {
  /** The best quality first, then fewer FLOPs, then the lower number: the order of the rows. */
  readonly levels: readonly LevelOption[];
  /** Names in order: the order of the columns. */
  readonly nodes: readonly string[];
  readonly networkMs: Float64Array;
  /** What of the wait its load does not explain. */
  readonly excessQueueMs: Float64Array;
  readonly waitMs: Float64Array;
  /** 1 where requests may go. */
  readonly usable: Uint8Array;
  /** By node, why not; read for explanations only. */
  readonly unusable: (string | undefined)[];
  /** NaN where the level is not served. */
  readonly executeMs: Float64Array;
  /** Without what the body costs by its size. */
  readonly costNanoUsd: Float64Array;
  readonly perKiBNanoUsd: Float64Array;
}

export interface TableInput {
  readonly levels: readonly LevelOption[];
  readonly nodes: readonly NodeOption[];
  readonly quantile: number;
  readonly batch: number;
  readonly priceOf: PriceOf;
}

export function candidateTable(input: TableInput): CandidateTable {
  const levels = input.levels.toSorted(
    (a, b) => b.quality - a.quality || a.flops - b.flops || a.level - b.level,
  );
  const nodes = input.nodes.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const cells = levels.length * nodes.length;
  const table: CandidateTable = {
    levels,
    nodes: nodes.map(({ name }) => name),
    networkMs: new Float64Array(nodes.length),
    excessQueueMs: new Float64Array(nodes.length),
    waitMs: new Float64Array(nodes.length),
    usable: new Uint8Array(nodes.length),
    unusable: nodes.map(() => undefined),
    executeMs: new Float64Array(cells),
    costNanoUsd: new Float64Array(cells),
    perKiBNanoUsd: new Float64Array(cells),
  };
  for (const [column, node] of nodes.entries()) setColumn(table, column, node, input);
  return table;
}

/** Brings all that is known of one node up to date. */
export function setColumn(
  table: CandidateTable,
  column: number,
  node: NodeOption,
  { quantile, batch, priceOf }: Pick<TableInput, 'quantile' | 'batch' | 'priceOf'>,
): void {
  table.networkMs[column] = timeAt(node.network, quantile);
  table.excessQueueMs[column] = node.excessQueue === undefined ? 0 : timeAt(node.excessQueue, quantile);
  setLoad(table, column, node);
  table.levels.forEach(({ level }, row) => {
    const cell = row * table.nodes.length + column;
    const executeMs = executeTime(node.times.get(level) ?? [], batch, quantile);
    const price = priceOf(node.nodeClass, level);
    table.executeMs[cell] = executeMs;
    table.costNanoUsd[cell] = costNanoUsd(price, executeMs, 0);
    table.perKiBNanoUsd[cell] = price.perKiBNanoUsd;
  });
}

/** The part of a column that changes from request to request. */
export function setLoad(
  table: CandidateTable,
  column: number,
  node: Pick<NodeOption, 'load' | 'workers' | 'serviceMs' | 'unusable'>,
): void {
  table.waitMs[column] = queueTime(node) + (table.excessQueueMs[column] as number);
  table.usable[column] = node.unusable === undefined ? 1 : 0;
  table.unusable[column] = node.unusable;
}
