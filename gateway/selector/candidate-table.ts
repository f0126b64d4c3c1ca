/**
 * The fleet as flat arrays, for one version of a model, one quantile and one batch size. It is kept from request to request:
 * a node's column is set anew when something was learned of it, its load with each request, its way when the next is of another size.
 *
 *             node 0        node 1      ...
 *   level a   [0]           [1]               executeMs, costNanoUsd, perKiBNanoUsd: one entry a (level, node)
 *   level b   [nodes + 0]   [nodes + 1]       networkMs, waitMs, usable ...: one entry a node
 */
import { costNanoUsd, type LevelOption, type NodeOption, type PriceOf } from './candidates.ts';
import { usualWayMs, type Ways, wayMs, waysAt } from './network-times.ts';
import { executeTime, queueTime } from './predict.ts';
import { type TimeQuantiles, timeAt } from './quantiles.ts';

export interface CandidateTable {
  /** The best quality first, then fewer FLOPs, then the lower number: the order of the rows. */
  readonly levels: readonly LevelOption[];
  /** Rows in that order. */
  readonly sparsestFirst: readonly number[];
  /** Names in order: the order of the columns. */
  readonly nodes: readonly string[];
  /** By column, the way there and back at all sizes. */
  readonly ways: Ways[];
  /** At the request's size. */
  readonly networkMs: Float64Array;
  /** The median of it, whatever the quantile. */
  readonly usualNetworkMs: Float64Array;
  /** With hardly anything to carry, where nothing is in the way. */
  readonly quickestWayMs: Float64Array;
  /** What of the wait its load does not explain, where a worker should be free and where none is. */
  readonly excessIdleMs: Float64Array;
  readonly excessBusyMs: Float64Array;
  /** The wait that its load explains. */
  readonly expectedQueueMs: Float64Array;
  readonly waitMs: Float64Array;
  /** Network and wait together; NaN where requests may not go. */
  readonly reachMs: Float64Array;
  /** 1 where requests may go. */
  readonly usable: Uint8Array;
  /** By node, why not; read for explanations only. */
  readonly unusable: (string | undefined)[];
  /** NaN where the level is not served. */
  readonly executeMs: Float64Array;
  /** How many such there are. */
  unserved: number;
  /** The median of it, whatever the quantile. */
  readonly usualMs: Float64Array;
  /** Without what the body costs by its size. */
  readonly costNanoUsd: Float64Array;
  readonly perKiBNanoUsd: Float64Array;
  /** By column, the least of `executeMs`; infinite where no level is served. */
  readonly nodeLeastMs: Float64Array;
  /** By row, the least that these have been since the table was made, so never more than they are. */
  readonly levelLeastMs: Float64Array;
  readonly levelLeastNanoUsd: Float64Array;
  readonly levelLeastPerKiBNanoUsd: Float64Array;
}

export interface TableInput {
  readonly levels: readonly LevelOption[];
  readonly nodes: readonly NodeOption[];
  readonly quantile: number;
  readonly batch: number;
  /** That go to the node and are expected back. */
  readonly hopBytes: number;
  readonly priceOf: PriceOf;
}

export function candidateTable(input: TableInput): CandidateTable {
  const levels = input.levels.toSorted(
    (a, b) => b.quality - a.quality || a.flops - b.flops || a.level - b.level,
  );
  const nodes = input.nodes.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const cells = levels.length * nodes.length;
  const sparsestFirst = [...levels.entries()]
    .sort(([, a], [, b]) => b.sparsity - a.sparsity)
    .map(([row]) => row);
  const table: CandidateTable = {
    levels,
    sparsestFirst,
    nodes: nodes.map(({ name }) => name),
    ways: nodes.map(() => new Float64Array(0)),
    networkMs: new Float64Array(nodes.length),
    usualNetworkMs: new Float64Array(nodes.length),
    quickestWayMs: new Float64Array(nodes.length),
    excessIdleMs: new Float64Array(nodes.length),
    excessBusyMs: new Float64Array(nodes.length),
    expectedQueueMs: new Float64Array(nodes.length),
    waitMs: new Float64Array(nodes.length),
    reachMs: new Float64Array(nodes.length),
    usable: new Uint8Array(nodes.length),
    unusable: nodes.map(() => undefined),
    executeMs: new Float64Array(cells),
    unserved: 0,
    usualMs: new Float64Array(cells),
    costNanoUsd: new Float64Array(cells),
    perKiBNanoUsd: new Float64Array(cells),
    nodeLeastMs: new Float64Array(nodes.length),
    levelLeastMs: new Float64Array(levels.length).fill(Number.POSITIVE_INFINITY),
    levelLeastNanoUsd: new Float64Array(levels.length).fill(Number.POSITIVE_INFINITY),
    levelLeastPerKiBNanoUsd: new Float64Array(levels.length).fill(Number.POSITIVE_INFINITY),
  };
  for (const [column, node] of nodes.entries()) setColumn(table, column, node, input);
  return table;
}

/** Brings all that is known of one node up to date. */
export function setColumn(
  table: CandidateTable,
  column: number,
  node: NodeOption,
  { quantile, batch, hopBytes, priceOf }: Pick<TableInput, 'quantile' | 'batch' | 'hopBytes' | 'priceOf'>,
): void {
  table.ways[column] = waysAt(node.network, quantile);
  setHop(table, column, hopBytes);
  table.quickestWayMs[column] = node.quickestWayMs ?? 0;
  const excess = (times: TimeQuantiles | undefined) => (times === undefined ? 0 : timeAt(times, quantile));
  table.excessIdleMs[column] = excess(node.excessQueue);
  table.excessBusyMs[column] = excess(node.excessQueueWhenBusy ?? node.excessQueue);
  setLoad(table, column, node);
  table.nodeLeastMs[column] = Number.POSITIVE_INFINITY;
  table.levels.forEach(({ level }, row) => {
    const cell = row * table.nodes.length + column;
    const times = node.times.get(level) ?? [];
    const executeMs = executeTime(times, batch, quantile);
    const price = priceOf(node.nodeClass, level);
    table.unserved += Number(Number.isNaN(executeMs)) - Number(Number.isNaN(table.executeMs[cell]));
    table.executeMs[cell] = executeMs;
    table.usualMs[cell] = executeTime(times, batch, 0.5);
    table.costNanoUsd[cell] = costNanoUsd(price, executeMs, 0);
    table.perKiBNanoUsd[cell] = price.perKiBNanoUsd;
    lower(table.nodeLeastMs, column, executeMs);
    lower(table.levelLeastMs, row, executeMs);
    lower(table.levelLeastNanoUsd, row, table.costNanoUsd[cell] as number);
    lower(table.levelLeastPerKiBNanoUsd, row, price.perKiBNanoUsd);
  });
}

/** Not by NaN, which is where a level is not served. */
function lower(least: Float64Array, at: number, value: number): void {
  if (value < (least[at] as number)) least[at] = value;
}

/** What the way takes for a request of this size; what has it for a part is set by `setLoad` next. */
export function setHop(table: CandidateTable, column: number, hopBytes: number): void {
  const ways = table.ways[column] as Ways;
  table.networkMs[column] = wayMs(ways, hopBytes);
  table.usualNetworkMs[column] = usualWayMs(ways, hopBytes);
}

/** The part of a column that changes from request to request. */
export function setLoad(
  table: CandidateTable,
  column: number,
  node: Pick<NodeOption, 'load' | 'workers' | 'serviceMs' | 'ahead' | 'unusable'>,
): void {
  const expectedMs = queueTime(node);
  const excessMs = expectedMs > 0 ? table.excessBusyMs : table.excessIdleMs;
  table.expectedQueueMs[column] = expectedMs;
  table.waitMs[column] = expectedMs + (excessMs[column] as number);
  setUsable(table, column, node.unusable);
}

/** @param reason why requests may not go there; undefined where they may */
export function setUsable(table: CandidateTable, column: number, reason: string | undefined): void {
  table.usable[column] = reason === undefined ? 1 : 0;
  table.unusable[column] = reason;
  table.reachMs[column] =
    reason === undefined
      ? (table.networkMs[column] as number) + (table.waitMs[column] as number)
      : Number.NaN;
}

/** What is to be expected of a level at a node, whatever the quantile. */
export interface Expected {
  /** The wait that the node's load explains. */
  readonly expectedQueueMs: number;
  /** How long the level usually executes there. */
  readonly usualMs: number;
  /** How long the way there and back takes with hardly anything to carry, where nothing is in the way. */
  readonly quickestWayMs: number;
}

export function expectedOf(
  table: CandidateTable,
  { node, level }: { readonly node: string; readonly level: number },
): Expected {
  const column = table.nodes.indexOf(node);
  const row = table.levels.findIndex((option) => option.level === level);
  return {
    expectedQueueMs: table.expectedQueueMs[column] ?? 0,
    usualMs: table.usualMs[row * table.nodes.length + column] ?? 0,
    quickestWayMs: table.quickestWayMs[column] ?? 0,
  };
}
