import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { startBackend } from '../../engine/backend.ts';
import { elementCount, type Graph, type Tensor } from '../graph.ts';
import { createInterpreter } from '../interpret.ts';
import { writeOnnx } from '../onnx-file.ts';
import { relativeError } from '../relative-error.ts';
import { dimsOf, hostFromTensor, toDevice, toTensor, type Value } from '../value.ts';
import { attentionCases } from './attention.case.ts';
import { computeCases } from './compute.case.ts';
import { convolutionCases } from './convolve.case.ts';
import { elementwiseCases } from './elementwise.case.ts';
import { ops } from './index.ts';
import { layoutCases } from './layout.case.ts';
import { type OpCase, oneNode } from './one-node.case.ts';
import { windowCases } from './window.case.ts';

const opCases = [
  ...elementwiseCases,
  ...layoutCases,
  ...computeCases,
  ...convolutionCases,
  ...windowCases,
  ...attentionCases,
];
/** Operators that onnxruntime does not run, whose function is shared with a tested one. */
const untested = ['Swish'];

beforeAll(async () => {
  await startBackend('wasm');
});

/** What the interpreter makes of a one-node model; inputs at `constant` are initializers. */
function interpreted(graph: Graph, inputs: readonly (Tensor | undefined)[]): Tensor[] {
  const interpreter = createInterpreter(graph);
  const feeds = Object.fromEntries(inputs.flatMap((tensor, i) => (tensor ? [[`i${i}`, tensor]] : [])));
  let results: Tensor[] = [];
  tf.tidy(() => {
    results = interpreter.run(feeds).map(toTensor);
  });
  interpreter.dispose();
  return results;
}

/** Inputs that steer shapes are initializers in real graphs, and must be for onnxruntime's own operators with attributes. */
function steering(op: OpCase, inputs: readonly (Tensor | undefined)[]): number[] {
  if (op.constant) return [...op.constant];
  return inputs.flatMap((tensor, i) =>
    i > 0 && tensor?.dtype === 'int64' && !op.name.includes('of integers') ? [i] : [],
  );
}

async function reference(graph: Graph, inputs: readonly (Tensor | undefined)[]): Promise<Tensor[]> {
  const session = await InferenceSession.create(writeOnnx(graph), {
    logSeverityLevel: 4,
    graphOptimizationLevel: 'disabled',
  });
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name }) => {
      const { dtype, data, dims } = inputs[Number(name.slice(1))] as Tensor;
      return [name, new OrtTensor(dtype as 'float32', data as Float32Array, [...dims])];
    }),
  );
  const results = await session.run(feeds);
  await session.release();
  return graph.outputs.map(({ name, dtype }) => {
    const { data, dims } = results[name] as OrtTensor;
    return { dtype, dims, data: data as Float32Array };
  });
}

describe('against onnxruntime', () => {
  test.each(opCases)('$name', async (op) => {
    await fc.assert(
      fc.asyncProperty(op.inputs, async (inputs) => {
        const constant = steering(op, inputs);
        const bare = oneNode(op, inputs, constant);
        const ours = interpreted(bare, inputs);
        const graph = oneNode(
          op,
          inputs,
          constant,
          ours.map(({ dims }) => dims.length),
        );
        const theirs = await reference(graph, inputs);
        theirs.forEach((expected, i) => {
          const actual = ours[i] as Tensor;
          expect(actual.dims).toEqual(expected.dims);
          expect(actual.dtype).toBe(expected.dtype);
          const error = relativeError(actual.data, expected.data);
          expect(error.relative, JSON.stringify(error)).toBeLessThanOrEqual(op.tolerance ?? 1e-5);
        });
      }),
      { numRuns: 10 },
    );
  });
});

/** What central differences of float32 are good for, with a step that balances rounding and curvature. */
const DIFFERENCE_TOLERANCE = 5e-3;
const STEP = 1 / 256;

/** Elements that central differences look at: each costs two evaluations. */
const MOST_ELEMENTS = 16;

/** Positions of at most so many elements, evenly over a tensor of this size. */
function spread(size: number): number[] {
  const count = Math.min(size, MOST_ELEMENTS);
  return Array.from({ length: count }, (_, i) => Math.floor((i * size) / count));
}

describe('gradients against central differences', () => {
  const cases = opCases.flatMap((op) =>
    (op.differentiate ?? []).map((index) => ({ title: `${op.name}, input ${index}`, op, index })),
  );
  test.each(cases)('$title', async ({ op, index }) => {
    await fc.assert(
      fc.asyncProperty(op.inputs, async (inputs) => {
        const x = inputs[index] as Tensor;
        const f = weightedSum(op, inputs, index);
        const gradient = tf.tidy(() =>
          tf
            .grad(f)(toDevice(hostFromTensor(x)))
            .dataSync()
            .slice(),
        );
        const looked = spread(gradient.length);
        const numeric = looked.map((i) => {
          const moved = (by: number) => {
            const data = (x.data as Float32Array).slice();
            data[i] = (data[i] as number) + by;
            return tf.tidy(() => f(tf.tensor(data, [...x.dims])).dataSync()[0] as number);
          };
          return (moved(STEP) - moved(-STEP)) / (2 * STEP);
        });
        const analytic = looked.map((i) => gradient[i] as number);
        const error = relativeError(Float32Array.from(analytic), Float32Array.from(numeric));
        // Against a gradient of all but zero only the rounding of the differences would be compared.
        const scale = Math.max(...numeric.map(Math.abs));
        expect(error.relative * Math.min(1, scale), JSON.stringify(error)).toBeLessThanOrEqual(
          DIFFERENCE_TOLERANCE,
        );
      }),
      { numRuns: 3 },
    );
  });

  /** A scalar of all float outputs, each element with its own weight, as a function of one input. */
  function weightedSum(
    op: OpCase,
    inputs: readonly (Tensor | undefined)[],
    index: number,
  ): (x: tf.Tensor) => tf.Scalar {
    const key = op.domain ? `${op.domain}.${op.opType}` : op.opType;
    const [node] = oneNode(op, inputs, []).nodes;
    const version = ops[key]?.findLast(({ since }) => since <= (op.domain ? 1 : (op.opset ?? 17)));
    return (x) => {
      const values = inputs.map((tensor, i): Value | undefined => {
        if (i === index) return x;
        const value = tensor && hostFromTensor(tensor);
        return value && value.dtype === 'float32' && elementCount(value.dims) > 1 ? toDevice(value) : value;
      });
      const gradient = inputs.map((_, i) => i === index);
      const made = version?.evaluate({
        node: node as Graph['nodes'][number],
        opset: 17,
        inputs: values,
        gradient,
      });
      const terms = [made].flat().map((value) => {
        const y = toDevice(value as Value);
        const weights = tf.tensor(
          Float32Array.from({ length: y.size }, (_, i) => Math.cos(i + 1)),
          [...dimsOf(y)],
        );
        return tf.sum(tf.mul(y, weights));
      });
      return terms.reduce((sum, term) => tf.add(sum, term)) as tf.Scalar;
    };
  }
});

test('every operator of the table has a case', () => {
  const tested = new Set(opCases.map((op) => (op.domain ? `${op.domain}.${op.opType}` : op.opType)));
  expect(
    Object.keys(ops)
      .filter((key) => !tested.has(key))
      .sort(),
  ).toEqual(untested.sort());
});
