/** Every rule on the operators' own random cases, run by onnxruntime and held against central differences of the operator. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ModelProtoSchema, ValueInfoProtoSchema } from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import type { Graph, GraphNode, Tensor, ValueInfo } from '../../graph/graph.ts';
import { writeOnnx } from '../../graph/onnx-file.ts';
import { computeCases } from '../../graph/ops/compute.case.ts';
import { convolutionCases } from '../../graph/ops/convolve.case.ts';
import { elementwiseCases } from '../../graph/ops/elementwise.case.ts';
import { layoutCases } from '../../graph/ops/layout.case.ts';
import { type OpCase, oneNode } from '../../graph/ops/one-node.case.ts';
import { windowCases } from '../../graph/ops/window.case.ts';
import { relativeError } from '../../graph/relative-error.ts';
import { createOrtSession } from '../../runtime/ort-session.ts';
import { addBackward } from '../backward.ts';
import { createBuilder } from '../builder.ts';
import type { Facts, ValueFacts } from '../facts.ts';
import { WRITTEN_OPSET } from '../gradient-graph.ts';
import { gradientCases } from './gradients.case.ts';
import { rules } from './index.ts';

const OLDEST_OPSET = 13;
interface Refused {
  /** Only where lengths are. */
  readonly free: boolean;
  readonly reason: string;
}

/** Cases whose gradient is refused, with the reason in the message. */
const REFUSED: Readonly<Record<string, Refused>> = {
  'GatherND in batches of floats': { free: false, reason: 'batch_dims' },
  'Einsum ii->i': { free: false, reason: 'a diagonal' },
  DepthToSpace: { free: true, reason: 'a free number of channels' },
  'DepthToSpace, depth first': { free: true, reason: 'a free number of channels' },
  'MatMul by a vector': { free: false, reason: 'a vector as factor' },
  'MatMul of a vector': { free: false, reason: 'a vector as factor' },
  ...Object.fromEntries(
    [...convolutionCases, ...windowCases]
      .filter(
        ({ opType, attributes = {} }) =>
          opType !== 'MaxPool' && (attributes.auto_pad ?? attributes.output_shape ?? attributes.ceil_mode),
      )
      .map(({ name }) => [name, { free: true, reason: 'padding by output size over free lengths' }]),
  ),
  ...Object.fromEntries(
    windowCases
      .filter(({ opType }) => opType === 'Resize')
      .map(({ name }) => [name, { free: true, reason: 'lengths that are only known when it runs' }]),
  ),
};
/** What central differences of float32 are good for, with a step that balances rounding and curvature. */
const DIFFERENCE_TOLERANCE = 5e-3;
const STEP = 1 / 256;

/** Statistics: nothing trains them. */
const UNWRITTEN: Readonly<Record<string, readonly number[]>> = { BatchNormalization: [3, 4] };

/** Weights, whose lengths are always known. */
const WEIGHTS: Readonly<Record<string, number>> = { Conv: 1, ConvTranspose: 1 };

const keyOf = ({ domain, opType }: OpCase) => (domain ? `${domain}.${opType}` : opType);
const cases = [
  ...elementwiseCases,
  ...layoutCases,
  ...computeCases,
  ...convolutionCases,
  ...windowCases,
  ...gradientCases,
].filter((op) => rules[keyOf(op)] && (op.opset ?? 17) >= OLDEST_OPSET);
const checked = cases.flatMap((op) =>
  (op.differentiate ?? [])
    .filter((index) => !UNWRITTEN[keyOf(op)]?.includes(index))
    .flatMap((index) =>
      [false, true].map((free) => ({
        title: `${op.name}, input ${index}, lengths ${free ? 'free' : 'known'}`,
        op,
        index,
        free,
      })),
    ),
);

/** Integer inputs steer shapes and are initializers in real graphs, as exponents and scales are; the rest is fed. */
function constants({ opType }: OpCase, inputs: readonly (Tensor | undefined)[], index: number): number[] {
  const steers = ({ dtype, dims }: Tensor) => dtype === 'int64' || dims.length === 0 || opType === 'Resize';
  return inputs.flatMap((tensor, i) => (i !== index && tensor && steers(tensor) ? [i] : []));
}

/** Positions come last among the outputs, and have no gradient. */
const isFloat32 = ({ dtype }: Tensor) => dtype === 'float32';

const feedsOf = (graph: Graph, inputs: readonly (Tensor | undefined)[]) =>
  Object.fromEntries(graph.inputs.map(({ name }) => [name, inputs[Number(name.slice(1))] as Tensor]));

const weights = (length: number) => Float32Array.from({ length }, (_, i) => Math.cos(i + 1));

const isRefused = ({ op, free, index }: (typeof checked)[number]) => {
  const entry = REFUSED[op.name];
  return entry !== undefined && (!entry.free || (free && index === 0));
};

test.each(checked.filter(isRefused))('$title: refused', async ({ op, index, free }) => {
  const [inputs = []] = fc.sample(op.inputs, 1);
  const bare = oneNode(op, inputs, constants(op, inputs, index));
  const outputs = Object.values(await traced(bare, inputs));
  await expect(written(bare, inputs, outputs, index, free)).rejects.toMatchObject({
    code: 'unsupported-op',
    message: expect.stringContaining(REFUSED[op.name]?.reason ?? ''),
  });
});

test.each(checked.filter((entry) => !isRefused(entry)))('$title', async ({ op, index, free }) => {
  await fc.assert(
    fc.asyncProperty(op.inputs, async (inputs) => {
      const x = inputs[index] as Tensor;
      const bare = oneNode(op, inputs, constants(op, inputs, index));
      const session = await createOrtSession(withOpenOutputs(bare), { optimise: false });
      const run = async (data: Float32Array) =>
        Object.values(await session.run({ ...feedsOf(bare, inputs), [`i${index}`]: { ...x, data } }));
      const outputs = await run(x.data as Float32Array);
      const value = async (data: Float32Array) =>
        (await run(data)).filter(isFloat32).reduce((sum, y) => {
          const w = weights(y.data.length);
          return sum + (y.data as Float32Array).reduce((part, v, i) => part + v * (w[i] as number), 0);
        }, 0);
      const numeric = new Float32Array(x.data.length);
      for (let i = 0; i < numeric.length; i++) {
        const moved = (by: number) => value((x.data as Float32Array).map((v, j) => (j === i ? v + by : v)));
        numeric[i] = ((await moved(STEP)) - (await moved(-STEP))) / (2 * STEP);
      }
      await session.close();
      const gradient = await written(bare, inputs, outputs, index, free && index !== WEIGHTS[keyOf(op)]);
      expect(gradient.dims).toEqual(x.dims);
      const error = relativeError(gradient.data as Float32Array, numeric);
      // Against a gradient of all but zero only the rounding of the differences would be compared.
      const scale = Math.max(...numeric.map(Math.abs));
      expect(error.relative * Math.min(1, scale), JSON.stringify(error)).toBeLessThanOrEqual(
        DIFFERENCE_TOLERANCE,
      );
    }),
    { numRuns: 4 },
  );
});

async function traced(bare: Graph, inputs: readonly (Tensor | undefined)[]): Promise<Record<string, Tensor>> {
  const session = await createOrtSession(withOpenOutputs(bare), { optimise: false });
  return session.run(feedsOf(bare, inputs)).finally(() => session.close());
}

/** A model file that leaves its outputs' shapes to onnxruntime. */
function withOpenOutputs(graph: Graph): Uint8Array {
  const model = fromBinary(ModelProtoSchema, writeOnnx(graph));
  const outputs = graph.outputs.map(({ name }) => create(ValueInfoProtoSchema, { name }));
  if (model.graph) model.graph.output = outputs;
  return toBinary(ModelProtoSchema, model);
}

/** The gradient of the weighted outputs in one input, as the rule writes it. */
async function written(
  bare: Graph,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  index: number,
  free: boolean,
): Promise<Tensor> {
  const known = (tensor: Tensor, fixed: boolean): ValueFacts => ({
    dims: tensor.dims.map((length) => (free && !fixed && length > 1 ? undefined : length)),
    dtype: tensor.dtype,
  });
  const facts: Facts = new Map([
    ...inputs.flatMap((tensor, i) =>
      tensor ? [[`i${i}`, known(tensor, bare.initializers.has(`i${i}`))] as const] : [],
    ),
    ...outputs.map((tensor, i) => [`o${i}`, known(tensor, false)] as const),
  ]);
  const build = createBuilder(bare, facts);
  const floats = outputs.filter(isFloat32);
  const seeds = floats.map((_, i) => [`o${i}`, `seed${i}`] as const);
  const gradient = addBackward(build, { nodes: bare.nodes, seeds: new Map(seeds), wanted: [`i${index}`] });
  const name = build.output('gradient', gradient.get(`i${index}`) as string);
  const open = build.graph([{ name, dtype: 'float32', dims: (inputs[index] as Tensor).dims }]);
  const opsets = { ...open.opsets, '': Math.max(open.opsets[''] ?? 0, WRITTEN_OPSET) };
  const graph = { ...open, opsets };
  const seedInputs = floats.map(({ dims }, i): ValueInfo => ({ name: `seed${i}`, dtype: 'float32', dims }));
  const session = await createOrtSession(writeOnnx({ ...graph, inputs: [...graph.inputs, ...seedInputs] }));
  const fed = floats.map((y, i) => [`seed${i}`, { ...y, data: weights(y.data.length) }] as const);
  const result = await session.run({ ...feedsOf(graph, inputs), ...Object.fromEntries(fed) });
  await session.close();
  return result[name] as Tensor;
}

describe('the table', () => {
  test('has a differentiated case for every input that a rule differentiates', () => {
    const tested = new Set(
      cases.flatMap((op) => (op.differentiate ?? []).map((index) => `${keyOf(op)} by input ${index}`)),
    );
    const written = cases.flatMap((op) => {
      const [inputs = []] = fc.sample(op.inputs, { numRuns: 1, seed: 1 });
      const bare = oneNode(op, inputs, []);
      const [node] = bare.nodes as [GraphNode];
      const build = createBuilder(bare, factsOfInputs(inputs));
      const call = { node, build, dy: '', gradients: [], x: node.inputs, y: 'o0' };
      const pullbacks = rules[keyOf(op)]?.vjp(call) ?? [];
      return pullbacks.flatMap((pullback, index) =>
        pullback && inputs[index]?.dtype === 'float32' && !UNWRITTEN[keyOf(op)]?.includes(index)
          ? [`${keyOf(op)} by input ${index}`]
          : [],
      );
    });
    expect([...new Set(written)].filter((entry) => !tested.has(entry))).toEqual([]);
    const ruled = new Set(written.map((entry) => entry.replace(/ by .*/, '')));
    expect(Object.keys(rules).filter((key) => !ruled.has(key))).toEqual([]);
  });
});

function factsOfInputs(inputs: readonly (Tensor | undefined)[]): Facts {
  const known = inputs.flatMap((tensor, i) =>
    tensor ? [[`i${i}`, { dims: tensor.dims, dtype: tensor.dtype }] as const] : [],
  );
  // No pullback is called: of the output only that it has a rank is asked.
  const [first] = known;
  return new Map<string, ValueFacts>([...known, ['o0', first?.[1] ?? { dims: [], dtype: 'float32' }]]);
}
