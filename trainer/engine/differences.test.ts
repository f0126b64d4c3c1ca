/** Gradients of every exported model against central differences in float64, along random directions at random masks. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { factsOf } from '../autodiff/facts.ts';
import { maskForward } from '../autodiff/masked-forward.ts';
import type { Tensor, ValueInfo } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import { relativeError } from '../graph/relative-error.ts';
import { traceGraph } from '../graph/trace.ts';
import { prepareModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { randomSource, streams } from '../search/random.ts';
import { toDouble, widened } from './double-graph.case.ts';
import { anyStep, gradientsOn } from './gradients.case.ts';

const GRAPHS = new URL('../../../shared/models/graphs/', import.meta.url);
/** What float32 leaves of a slope. */
const TOLERANCE = 1e-4;
/** Small, as piecewise linear activations have kinks. */
const STEP = 1e-6;

describe.skipIf(!existsSync(GRAPHS))('exported models (skipped where ../shared/models is absent)', () => {
  const models = ['deit_timm', 'vit_hf', 'bert_hf', 'llama_hf', 'swin_timm', 'clip_hf', 'gpt2_hf', 'opt_hf'];
  test.each(models)('slopes of %s in every mask are those of the loss in float64', async (name) => {
    const model = await prepareModel(readFileSync(new URL(`${name}.dynamo.onnx`, GRAPHS)), name);
    const { graph, pairs } = model;
    const step = await anyStep(model);
    const random = randomSource(5, streams.samples, 0);
    const draw = (low: number, high: number) =>
      pairs.map(({ units }) =>
        Float32Array.from({ length: units }, () => low + (high - low) * random.uniform()),
      );
    const [masks, directions] = [draw(0.3, 1), draw(-1, 1)];
    const found = await gradientsOn('onnxruntime', { graph, pairs }, { ...step, masks });

    const { traces } = await traceGraph(graph, name, () => false);
    const masked = maskForward(graph, factsOf(traces), pairs);
    const { loss } = step;
    const answer = masked.masked(loss.output);
    const double = toDouble({
      ...masked.graph,
      outputs: [{ ...(graph.outputs[0] as ValueInfo), name: answer }],
    });
    const session = await createOrtSession(writeOnnx(double), { optimise: false });
    const feeds = Object.entries(step.feeds).map(([input, tensor]) => [input, widened(tensor)] as const);
    const teacher = 'teacher' in loss ? loss.teacher : undefined;
    const lossAt = async (pair: number, by: number) => {
      const moved = masks.map((mask, p): [string, Tensor] => [
        masked.masks[p] as string,
        {
          dtype: 'float64',
          dims: [mask.length],
          data: Float64Array.from(mask, (m, j) => m + (p === pair ? by * (directions[p]?.[j] as number) : 0)),
        },
      ]);
      const results = await session.run({ ...Object.fromEntries(feeds), ...Object.fromEntries(moved) });
      return divergence(teacher as Tensor, results[answer] as Tensor);
    };
    const slopes = pairs.map((_, p) =>
      (found.masks[p] as Float32Array).reduce((sum, g, j) => sum + g * (directions[p]?.[j] as number), 0),
    );
    const differences: number[] = [];
    for (const p of pairs.keys())
      differences.push(((await lossAt(p, STEP)) - (await lossAt(p, -STEP))) / (2 * STEP));
    await session.close();
    const error = relativeError(slopes, differences);
    expect(error.relative, JSON.stringify({ error, slopes, differences })).toBeLessThan(TOLERANCE);
  });
});

/** Mean over rows of KL(softmax(teacher) || softmax(answer)), in float64. */
function divergence(teacher: Tensor, answer: Tensor): number {
  const classes = teacher.dims.at(-1) as number;
  const rows = teacher.data.length / classes;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const of = ({ data }: Tensor) => Array.from(data.slice(row * classes, (row + 1) * classes), Number);
    const [p, q] = [logSoftmax(of(teacher)), logSoftmax(of(answer))];
    for (const [c, value] of p.entries()) sum += Math.exp(value) * (value - (q[c] as number));
  }
  return sum / rows;
}

function logSoftmax(values: readonly number[]): number[] {
  const top = Math.max(...values);
  const total = top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
  return values.map((v) => v - total);
}
