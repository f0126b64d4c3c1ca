/** A model as its clients see it: the protocol's metadata, and beside it what each level is and takes at the moment. */
import type { LevelRow } from '../../schema/db/tables.ts';
import { datatypes, type ModelMetadata } from '../../schema/protocol.ts';
import type { Fleet } from '../nodes/fleet.ts';
import { pricesOf } from '../policy/prices.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import type { VersionedPolicy } from '../storage/policies.ts';
import { levelOptions, routedVersion } from './routing.ts';

export interface LevelView
  extends Pick<
    LevelRow,
    'level' | 'sparsity' | 'relativeFlops' | 'relativeParams' | 'params' | 'flops' | 'quality'
  > {
  /** Null while no node serves it. */
  readonly predictedMs: number | null;
}

export type ModelView<Level = LevelView> = ModelMetadata & {
  readonly artifactVersion: string;
  readonly task: string;
  readonly levels: readonly Level[];
};

export function modelMetadata(model: CatalogModel, fleet: Fleet, policy: VersionedPolicy): ModelView {
  const version = routedVersion(model, fleet);
  return modelView(
    model,
    version,
    version.levels.map((row) => levelView(row, quickest(model, version, row.level, fleet, policy))),
  );
}

/** The same for one level alone. */
export function levelMetadata(
  model: CatalogModel,
  level: number,
  fleet: Fleet,
  policy: VersionedPolicy,
): ModelView {
  const version = routedVersion(model, fleet);
  const rows = version.levels.filter((row) => row.level === level);
  return modelView(
    model,
    version,
    rows.map((row) => levelView(row, quickest(model, version, level, fleet, policy))),
  );
}

/** The same for operators: what each level costs, too; null while no node serves it. */
export function operatorMetadata(
  model: CatalogModel,
  fleet: Fleet,
  policy: VersionedPolicy,
): ModelView<LevelView & { readonly costNanoUsd: number | null }> {
  const version = routedVersion(model, fleet);
  const levels = version.levels.map((row) => {
    const reached = quickest(model, version, row.level, fleet, policy);
    return { ...levelView(row, reached), costNanoUsd: reached?.costNanoUsd ?? null };
  });
  return modelView(model, version, levels);
}

function modelView<Level extends LevelView>(
  model: CatalogModel,
  version: CatalogVersion,
  levels: readonly Level[],
): ModelView<Level> {
  return {
    name: model.id,
    versions: levels.map(({ level }) => String(level)),
    platform: 'onnxruntime_onnx',
    inputs: [...version.inputs],
    outputs: [...version.outputs],
    artifactVersion: version.version,
    task: version.task,
    ...(version.labels === null ? {} : { labels: version.labels }),
    levels,
  };
}

function levelView(row: LevelRow, reached: Reached | undefined): LevelView {
  const { level, sparsity, relativeFlops, relativeParams, params, flops, quality } = row;
  return {
    level,
    sparsity,
    relativeFlops,
    relativeParams,
    params,
    flops,
    quality,
    predictedMs: reached?.ms ?? null,
  };
}

/** What one input takes and costs. */
interface Reached {
  readonly ms: number;
  readonly costNanoUsd: number;
}

/** For one input, at the policy's quantile, on the node that would be quickest; undefined while no node serves the level. */
function quickest(
  model: CatalogModel,
  version: CatalogVersion,
  level: number,
  fleet: Fleet,
  policy: VersionedPolicy,
): Reached | undefined {
  const bytes = inputBytes(version.inputs);
  const table = fleet.table({
    model: model.id,
    version: { version: version.version, levels: levelOptions(version) },
    quantile: policy.document.quantile,
    batch: 1,
    length: 0,
    hopBytes: bytes + fleet.answerBytes({ model: model.id, version: version.version, batch: 1, length: 0 }),
    priceOf: pricesOf(policy.document.prices, model.id),
    policyVersion: policy.version,
  });
  const row = table.levels.findIndex((option) => option.level === level);
  const { networkMs, waitMs, executeMs, costNanoUsd, perKiBNanoUsd } = table;
  const reached = table.nodes.flatMap((_, column) => {
    const cell = row * table.nodes.length + column;
    const ms = (networkMs[column] ?? 0) + (waitMs[column] ?? 0) + (executeMs[cell] ?? Number.NaN);
    if (table.usable[column] === 0 || Number.isNaN(ms)) return [];
    const forBody = (perKiBNanoUsd[cell] ?? 0) * Math.ceil(bytes / 1024);
    return [{ ms: Number(ms.toFixed(3)), costNanoUsd: (costNanoUsd[cell] ?? 0) + forBody }];
  });
  const [least] = reached.toSorted((a, b) => a.ms - b.ms);
  return least;
}

/** Of one input in binary, with open dimensions at their least. */
function inputBytes(ports: CatalogVersion['inputs']): number {
  const bytesOf = ({ shape, datatype }: CatalogVersion['inputs'][number]) =>
    shape.reduce((product, size) => product * Math.abs(size), datatypes[datatype] ?? 1);
  return ports.reduce((sum, port) => sum + bytesOf(port), 0);
}
