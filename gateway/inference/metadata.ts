/** A model as its clients see it: the protocol's metadata, and beside it what each level is and takes at the moment. */
import type { Policy } from '../../schema/policy.ts';
import { datatypes, type ModelMetadata } from '../../schema/protocol.ts';
import type { Fleet } from '../nodes/fleet.ts';
import { free } from '../selector/candidates.ts';
import type { CatalogModel, CatalogVersion } from '../storage/catalog.ts';
import { levelOptions, routedVersion } from './routing.ts';

export function modelMetadata(model: CatalogModel, fleet: Fleet, policy: Policy): ModelMetadata {
  const version = routedVersion(model, fleet);
  return metadata(model, version, version.levels, fleet, policy);
}

/** The same for one level alone. */
export function levelMetadata(
  model: CatalogModel,
  level: number,
  fleet: Fleet,
  policy: Policy,
): ModelMetadata {
  const version = routedVersion(model, fleet);
  const levels = version.levels.filter((row) => row.level === level);
  return metadata(model, version, levels, fleet, policy);
}

function metadata(
  model: CatalogModel,
  version: CatalogVersion,
  levels: CatalogVersion['levels'],
  fleet: Fleet,
  policy: Policy,
): ModelMetadata {
  return {
    name: model.id,
    versions: levels.map(({ level }) => String(level)),
    platform: 'onnxruntime_onnx',
    inputs: [...version.inputs],
    outputs: [...version.outputs],
    artifactVersion: version.version,
    task: version.task,
    ...(version.labels === null ? {} : { labels: version.labels }),
    levels: levels.map((row) => ({
      level: row.level,
      sparsity: row.sparsity,
      relativeFlops: row.relativeFlops,
      relativeParams: row.relativeParams,
      params: row.params,
      flops: row.flops,
      quality: row.quality,
      predictedMs: predictedMs(model, version, row.level, fleet, policy),
    })),
  };
}

/** For one input, at the policy's quantile, on the node that would be quickest; null while no node serves the level. */
function predictedMs(
  model: CatalogModel,
  version: CatalogVersion,
  level: number,
  fleet: Fleet,
  policy: Policy,
): number | null {
  const table = fleet.table({
    model: model.id,
    version: { version: version.version, levels: levelOptions(version) },
    quantile: policy.quantile,
    batch: 1,
    length: 0,
    hopBytes:
      inputBytes(version.inputs) +
      fleet.answerBytes({ model: model.id, version: version.version, batch: 1, length: 0 }),
    priceOf: free,
    // Of no policy: these tables know no prices.
    policyVersion: -1,
  });
  const row = table.levels.findIndex((option) => option.level === level);
  const times = table.nodes.flatMap((_, column) => {
    const { networkMs, waitMs, executeMs } = table;
    const ms =
      (networkMs[column] ?? 0) +
      (waitMs[column] ?? 0) +
      (executeMs[row * table.nodes.length + column] ?? Number.NaN);
    return table.usable[column] === 0 || Number.isNaN(ms) ? [] : [ms];
  });
  return times.length === 0 ? null : Number(Math.min(...times).toFixed(3));
}

/** Of one input in binary, with open dimensions at their least. */
function inputBytes(ports: CatalogVersion['inputs']): number {
  const bytesOf = ({ shape, datatype }: CatalogVersion['inputs'][number]) =>
    shape.reduce((product, size) => product * Math.abs(size), datatypes[datatype] ?? 1);
  return ports.reduce((sum, port) => sum + bytesOf(port), 0);
}
