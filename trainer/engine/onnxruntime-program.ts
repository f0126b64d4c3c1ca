/** One thread's share of the onnxruntime engine: a gradient graph in a session, from shards to sums of loss and gradients. */
import { SppError } from '../../schema/errors.ts';
import type { GradientGraph } from '../autodiff/gradient-graph.ts';
import type { Tensor, ValueInfo } from '../graph/graph.ts';
import { ortModel } from '../graph/ort-model.ts';
import { createOrtSession, type OrtModel, type Provider } from '../runtime/ort-session.ts';
import type { LaneWork, ShardSums } from './lane.ts';
import type { LossTarget } from './loss.ts';
import type { Shard } from './shard.ts';

/** A gradient graph as it travels to a thread. */
export interface GradientModel extends OrtModel {
  /** The model's own inputs. */
  readonly inputs: readonly ValueInfo[];
  /** The weights that are inputs, in order. */
  readonly weights: readonly { readonly name: string; readonly dims: readonly number[] }[];
  /** Names of the inputs that say how many units are kept. */
  readonly widths: readonly string[];
  readonly names: Omit<GradientGraph, 'graph'>;
}

export interface OnnxruntimeProgram {
  /**
   * @param weights by weight: the values, and where the gradients' sum over all runs is written
   * @throws `bad-shape` for feeds or a target that do not fit, `bad-data` for labels beyond the classes, `bad-model` from onnxruntime
   */
  run(work: LaneWork, weights: WeightMemory): Promise<ShardSums[]>;
  close(): Promise<void>;
}

export interface WeightMemory {
  readonly values: readonly Float32Array[];
  readonly gradients: readonly Float32Array[];
}

/** Beyond, weights go by a file that all threads map, instead of in a copy for each of them. */
const INLINE_BYTES = 64 * 2 ** 20;

/** To be given to `discardModel` when no session needs it any more. */
export function gradientModel(
  { graph, ...names }: GradientGraph,
  model: Omit<GradientModel, keyof OrtModel | 'names'>,
): GradientModel {
  return { ...ortModel(graph, [], INLINE_BYTES), ...model, names };
}

/**
 * A session on a gradient graph, with memory of its own for gradients that are summed up.
 * @param threads of one run
 * @throws `bad-model` when onnxruntime cannot load the graph, `backend-unavailable` when the provider does not start
 */
export async function createOnnxruntimeProgram(
  model: GradientModel,
  provider: Provider = 'cpu',
  threads = 1,
): Promise<OnnxruntimeProgram> {
  const session = await createOrtSession(model, { provider, threads, planMemory: false });
  const { weights, widths, inputs, names } = model;
  const into = (arrays: readonly Float32Array[]) =>
    Object.fromEntries(
      weights.map(({ dims }, i): [string, Tensor] => [
        names.weightGradients[i] as string,
        { dtype: 'float32', dims, data: arrays[i] as Float32Array },
      ]),
    );
  /** Gradients of runs behind the first one, on their way to the sum. */
  let scratch: Float32Array[] | undefined;
  const runShard = async (
    { feeds, loss }: Shard,
    fixed: Readonly<Record<string, Tensor>>,
    gradients: readonly Float32Array[],
  ): Promise<ShardSums> => {
    const own = inputs.map((info) => [info.name, checkedFeed(feeds[info.name], info)] as const);
    const fed = { ...Object.fromEntries(own), ...fixed, [names.target]: targetTensor(loss) };
    const results = await session.run(fed, undefined, into(gradients));
    const [rows, classes] = Array.from((results[names.shape] as Tensor).data, Number) as [number, number];
    checkTarget(loss, rows, classes);
    return {
      loss: (results[names.loss] as Tensor).data[0] as number,
      rows: 'teacher' in loss ? rows : loss.labels.filter((label) => label !== -1).length,
      gradients: names.gradients.map((name) => (results[name] as Tensor).data as Float32Array),
    };
  };
  return {
    async run({ shards, variants }, { values, gradients }) {
      const weightsFed = weights.map(({ name, dims }, i): [string, Tensor] => [
        name,
        { dtype: 'float32', dims, data: values[i] as Float32Array },
      ]);
      const sums: ShardSums[] = [];
      for (const variant of variants) {
        const fixed = Object.fromEntries([
          ...weightsFed,
          ...variant.masks.map((mask, i) => [names.masks[i] as string, vector(mask)] as const),
          ...variant.widths.map((width, i) => [widths[i] as string, count(width)] as const),
        ]);
        for (const shard of shards) {
          const isFirst = sums.length === 0;
          if (!isFirst) scratch ??= gradients.map(({ length }) => new Float32Array(length));
          const target = isFirst ? gradients : (scratch as Float32Array[]);
          sums.push(await runShard(shard, fixed, target));
          if (!isFirst) addAll(gradients, target);
        }
      }
      return sums;
    },
    close: () => session.close(),
  };
}

function addAll(totals: readonly Float32Array[], more: readonly Float32Array[]): void {
  for (const [i, total] of totals.entries()) {
    const own = more[i] as Float32Array;
    for (let j = 0; j < total.length; j++) total[j] = (total[j] as number) + (own[j] as number);
  }
}

function vector(data: Float32Array): Tensor {
  return { dtype: 'float32', dims: [data.length], data };
}

function count(value: number): Tensor {
  return { dtype: 'int64', dims: [1], data: BigInt64Array.of(BigInt(value)) };
}

function targetTensor(loss: LossTarget): Tensor {
  if (loss.kind === 'cross-entropy')
    return { dtype: 'int64', dims: [loss.labels.length], data: BigInt64Array.from(loss.labels, BigInt) };
  const { data, dims } = loss.teacher;
  const classes = dims.at(-1) ?? 1;
  return { dtype: 'float32', dims: [data.length / classes, classes], data };
}

function checkTarget(loss: LossTarget, rows: number, classes: number): void {
  const [length, needed] =
    'teacher' in loss ? [loss.teacher.data.length, rows * classes] : [loss.labels.length, rows];
  if (length !== needed)
    throw new SppError(
      'bad-shape',
      'teacher' in loss
        ? `The teacher's [${loss.teacher.dims}] does not match ${rows} rows of ${classes} values.`
        : `There are ${loss.labels.length} labels for ${rows} rows of logits.`,
    );
  const stray = 'teacher' in loss ? undefined : loss.labels.find((label) => label < -1 || label >= classes);
  if (stray !== undefined)
    throw new SppError('bad-data', `The label ${stray} is outside the model's ${classes} classes.`, {
      hint: 'Check that the data set belongs to this model.',
    });
}

function checkedFeed(feed: Tensor | undefined, info: ValueInfo): Tensor {
  if (feed === undefined) throw new SppError('bad-shape', `The input ${info.name} is not fed.`);
  const fits =
    feed.dims.length === info.dims.length &&
    info.dims.every((dim, axis) => typeof dim === 'string' || dim === feed.dims[axis]);
  if (fits) return feed;
  throw new SppError('bad-shape', `The input ${info.name} takes [${info.dims}] but was fed [${feed.dims}].`);
}
