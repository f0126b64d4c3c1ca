/**
 * The fleet as flat arrays, for one version of a model, one quantile and one batch size. It is built behind requests;
 * between two requests only `waitMs` and `usable` change, which is all that a request has to bring up to date.
 *
 *             node 0        node 1      ...
 *   level a   [0]           [1]               executeMs, costNanoUsd, perKiBNanoUsd: one entry a (level, node)
 *   level b   [nodes + 0]   [nodes + 1]       networkMs, waitMs, usable: one entry a node
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

export function candidateTable({ levels, nodes, quantile, batch, priceOf }: TableInput): CandidateTable {
  const rows = levels.toSorted((a, b) => b.quality - a.quality || a.flops - b.flops || a.level - b.level);
  const columns = nodes.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const cells = rows.length * columns.length;
  const table: CandidateTable = {
    levels: rows,
    nodes: columns.map(({ name }) => name),
    networkMs: Float64Array.from(columns, ({ network }) => timeAt(network, quantile)),
    waitMs: Float64Array.from(columns, queueTime),
    usable: Uint8Array.from(columns, ({ unusable }) => (unusable === undefined ? 1 : 0)),
    unusable: columns.map(({ unusable }) => unusable),
    executeMs: new Float64Array(cells),
    costNanoUsd: new Float64Array(cells),
    perKiBNanoUsd: new Float64Array(cells),
  };
  rows.forEach(({ level }, row) => {
    columns.forEach((node, column) => {
      const cell = row * columns.length + column;
      const executeMs = executeTime(node.times.get(level) ?? [], batch, quantile);
      const price = priceOf(node.nodeClass, level);
      table.executeMs[cell] = executeMs;
      table.costNanoUsd[cell] = costNanoUsd(price, executeMs, 0);
      table.perKiBNanoUsd[cell] = price.perKiBNanoUsd;
    });
  });
  return table;
}
