/** Accuracy of a model on a split, the way it will be served: by onnxruntime on its ONNX bytes. */
import { SppError } from '../../schema/errors.ts';
import type { Quality } from '../../schema/manifest.ts';
import { blocks, type Split } from '../data/dataset.ts';
import type { Tensor } from '../graph/graph.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { wilsonInterval } from './interval.ts';

const BLOCK = 250;

export interface AccuracyRequest {
  readonly model: Uint8Array;
  readonly input: string;
  readonly output: string;
  readonly split: Split;
  /** The first this many examples. */
  readonly samples: number;
  readonly threads: number;
  readonly onProgress?: (done: number) => void;
}

/** Share of examples whose largest logit is at the label, with its 95 % Wilson interval. */
export async function measureAccuracy(request: AccuracyRequest): Promise<Quality> {
  const { split, input, output } = request;
  const samples = Math.min(request.samples, split.count);
  const session = await createOrtSession(request.model, { threads: request.threads });
  try {
    let correct = 0;
    let done = 0;
    for (const indices of blocks(samples, BLOCK)) {
      const result = await session.run({ [input]: split.inputs(indices) }, [output]);
      correct += countCorrect(result[output], split.labels(indices));
      done += indices.length;
      request.onProgress?.(done);
    }
    return { metric: 'accuracy', value: correct / samples, ...wilsonInterval(correct, samples), samples };
  } finally {
    await session.close();
  }
}

function countCorrect(logits: Tensor | undefined, labels: Int32Array): number {
  if (logits === undefined || logits.dims.length !== 2 || logits.dims[0] !== labels.length) {
    throw new SppError(
      'bad-model',
      `The output has shape [${logits?.dims.join(', ')}]; class scores [N, classes] are wanted.`,
    );
  }
  return argmaxRows(logits).reduce((sum, predicted, row) => sum + (predicted === labels[row] ? 1 : 0), 0);
}

/** Index of the largest entry of each row; a row with NaN is an error, not a guess. */
export function argmaxRows(logits: Tensor): number[] {
  const classes = logits.dims.at(-1) ?? 1;
  const values = logits.data as Float32Array;
  return Array.from({ length: values.length / classes }, (_, row) => {
    let best = 0;
    for (let c = 0; c < classes; c++) {
      const value = values[row * classes + c] as number;
      if (Number.isNaN(value))
        throw new SppError('numerical-failure', `Row ${row} of the model's output is not a number.`);
      if (value > (values[row * classes + best] as number)) best = c;
    }
    return best;
  });
}
