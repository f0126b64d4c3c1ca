/** One thread's share of the onnxruntime engine: a gradient graph in a session, from a shard to sums of loss and gradients. */
import { SppError } from '../../schema/errors.ts';
import type { MaskGradientGraph } from '../autodiff/mask-gradient-graph.ts';
import type { Tensor, ValueInfo } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import type { LossTarget } from './loss.ts';
import type { ShardSums } from './mask-program.ts';
import type { Shard } from './shard.ts';

/** A gradient graph as it travels to a thread. */
export interface GradientModel {
  readonly bytes: Uint8Array;
  /** The model's own inputs. */
  readonly inputs: readonly ValueInfo[];
  readonly names: Omit<MaskGradientGraph, 'graph'>;
}

export interface OnnxruntimeProgram {
  /** @throws `bad-shape` for feeds or a target that do not fit, `bad-data` for labels beyond the classes, `bad-model` from onnxruntime */
  run(shard: Shard, masks: readonly Float32Array[]): Promise<ShardSums>;
  close(): Promise<void>;
}

export function gradientModel(
  { graph, ...names }: MaskGradientGraph,
  inputs: readonly ValueInfo[],
): GradientModel {
  return { bytes: writeOnnx(graph), inputs, names };
}

export async function createOnnxruntimeProgram(model: GradientModel): Promise<OnnxruntimeProgram> {
  const session = await createOrtSession(model.bytes);
  const { masks: maskNames, target, shape, loss: lossName, gradients } = model.names;
  return {
    async run({ feeds, loss }, masks) {
      const results = await session.run({
        ...Object.fromEntries(model.inputs.map((info) => [info.name, checkedFeed(feeds[info.name], info)])),
        ...Object.fromEntries(masks.map((mask, i) => [maskNames[i] as string, vector(mask)])),
        [target]: targetTensor(loss),
      });
      const [rows, classes] = Array.from((results[shape] as Tensor).data, Number) as [number, number];
      checkTarget(loss, rows, classes);
      return {
        loss: (results[lossName] as Tensor).data[0] as number,
        rows: 'teacher' in loss ? rows : loss.labels.filter((label) => label !== -1).length,
        gradients: gradients.map((name) => (results[name] as Tensor).data as Float32Array),
      };
    },
    close: () => session.close(),
  };
}

function vector(data: Float32Array): Tensor {
  return { dtype: 'float32', dims: [data.length], data };
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
        : `There are ${length} labels for ${rows} rows of logits.`,
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
