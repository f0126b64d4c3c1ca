/** The pool of examples that calibration and search draw from, with the dense model's answers to them. */
import { SppError } from '../../schema/errors.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import type { Pair } from '../pairs/pair.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { randomSource, shuffledRange, streams } from '../search/random.ts';
import {
  type Moments,
  MomentsAccumulator,
  momentsGraph,
  momentTensors,
} from '../statistics/activation-moments.ts';
import type { StageProgress } from './progress.ts';

const BLOCK = 256;
/** Examples whose activations' moments are taken: some tens of thousands of rows for image models. */
const MOMENT_EXAMPLES = 2048;

export interface Pool {
  readonly dataset: Dataset;
  readonly input: string;
  readonly output: string;
  /** Training examples that search and statistics use. */
  readonly indices: readonly number[];
  /** Training examples that no statistic has seen; damping is chosen on them. */
  readonly holdout: readonly number[];
}

export function drawPool(
  dataset: Dataset,
  ports: { input: string; output: string },
  size: number,
  seed: number,
): Pool {
  const order = shuffledRange(randomSource(seed, streams.calibration, 0), dataset.train.count);
  const holdout = Math.min(512, Math.floor(order.length / 8));
  return {
    dataset,
    ...ports,
    holdout: order.slice(0, holdout),
    indices: order.slice(holdout, holdout + Math.min(size, order.length - holdout)),
  };
}

/** Moments of all activations that rotation and compensation need. */
export async function measureMoments(
  graph: Graph,
  pairs: readonly Pair[],
  pool: Pool,
  threads: number,
  progress: StageProgress,
): Promise<ReadonlyMap<string, Moments>> {
  const tensors = momentTensors(pairs);
  const accumulator = new MomentsAccumulator(tensors);
  const session = await createOrtSession(writeOnnx(momentsGraph(graph, tensors)), { threads });
  try {
    const indices = pool.indices.slice(0, MOMENT_EXAMPLES);
    for (let start = 0; start < indices.length; start += BLOCK) {
      const block = indices.slice(start, start + BLOCK);
      accumulator.add(await session.run({ [pool.input]: pool.dataset.train.inputs(block) }));
      progress.update(Math.min(start + BLOCK, indices.length));
    }
  } finally {
    await session.close();
  }
  return accumulator.result();
}

/** Logits [examples, classes] of a model, row i for indices[i]. */
export async function logitsOf(
  graph: Graph,
  pool: Pool,
  indices: readonly number[],
  threads: number,
  progress?: StageProgress,
): Promise<Tensor> {
  const session = await createOrtSession(writeOnnx(graph), { threads });
  const parts: Float32Array[] = [];
  let tail: readonly number[] = [];
  try {
    for (let start = 0; start < indices.length; start += BLOCK) {
      const block = indices.slice(start, start + BLOCK);
      const result = await session.run({ [pool.input]: pool.dataset.train.inputs(block) }, [pool.output]);
      const logits = result[pool.output];
      if (!(logits?.data instanceof Float32Array)) {
        throw new SppError('bad-model', `The output ${pool.output} is not float32.`);
      }
      if (!logits.data.every(Number.isFinite)) {
        throw new SppError(
          'numerical-failure',
          `The dense model's output ${pool.output} is not finite on the training data.`,
          {
            hint: 'Check the data and its normalisation.',
          },
        );
      }
      parts.push(logits.data);
      tail = logits.dims.slice(1);
      progress?.update(Math.min(start + BLOCK, indices.length));
    }
  } finally {
    await session.close();
  }
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    data.set(part, offset);
    offset += part.length;
  }
  return { dtype: 'float32', dims: [indices.length, ...tail], data };
}

/** Some rows of a tensor, in the order asked for. */
export function takeRows(tensor: Tensor, rows: readonly number[]): Tensor {
  const source = tensor.data as Float32Array;
  const width = source.length / (tensor.dims[0] ?? 1);
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(source.subarray(row * width, (row + 1) * width), i * width);
  return { dtype: 'float32', dims: [rows.length, ...tensor.dims.slice(1)], data };
}
