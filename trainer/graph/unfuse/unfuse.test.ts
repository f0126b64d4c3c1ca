import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createOrtSession } from '../../runtime/ort-session.ts';
import type { Graph, Tensor } from '../graph.ts';
import { writeOnnx } from '../onnx-file.ts';
import { attentionCases } from '../ops/attention.case.ts';
import { elementwiseCases } from '../ops/elementwise.case.ts';
import { type OpCase, oneNode } from '../ops/one-node.case.ts';
import { windowCases } from '../ops/window.case.ts';
import { relativeError } from '../relative-error.ts';
import { unfuseCases } from './unfuse.case.ts';
import { isFused, unfolds, unfuse } from './unfuse.ts';

const keyOf = ({ opType, domain }: OpCase) => (domain ? `${domain}.${opType}` : opType);

/** Forms that have no plain one, by case. */
const STAY = ['Einsum ii->i', 'Einsum ibh,ibnd,bh->nd'];

const cases = [...attentionCases, ...windowCases, ...elementwiseCases, ...unfuseCases].filter(
  (op) => keyOf(op) in unfolds && !STAY.includes(op.name),
);

async function results(
  graph: Graph,
  inputs: readonly (Tensor | undefined)[],
): Promise<Record<string, Tensor>> {
  const session = await createOrtSession(writeOnnx(graph), { optimise: false });
  const feeds = graph.inputs.map(({ name }) => [name, inputs[Number(name.slice(1))] as Tensor] as const);
  return session.run(Object.fromEntries(feeds)).finally(() => session.close());
}

/** Inputs that are no activations are initializers in real graphs. */
function constantsOf(op: OpCase, inputs: readonly (Tensor | undefined)[]): readonly number[] {
  return (
    op.constant ??
    (op.opType.endsWith('RotaryEmbedding') ? [1, 2].filter((i) => inputs[i]?.dtype === 'float32') : [])
  );
}

describe('a fused operator and its plain nodes are equal in onnxruntime', () => {
  test.each(cases)('$name', async (op) => {
    await fc.assert(
      fc.asyncProperty(op.inputs, async (inputs) => {
        const bare = oneNode(op, inputs, constantsOf(op, inputs));
        const { graph, expected } = await withRanks(bare, inputs);
        const shapes = {
          dims: new Map(inputs.map((tensor, i) => [`i${i}`, tensor?.dims ?? []])),
          dtypes: new Map(inputs.flatMap((tensor, i) => (tensor ? [[`i${i}`, tensor.dtype] as const] : []))),
        };
        const plain = unfuse(graph, [shapes]);
        expect(isFused(graph)).toBe(true);
        expect(plain.nodes.filter(({ domain }) => domain !== '')).toEqual([]);
        expect(isFused(plain)).toBe(false);
        const actual = await results(plain, inputs);
        for (const [name, tensor] of Object.entries(expected)) {
          const error = relativeError(actual[name]?.data ?? [], tensor.data);
          expect(error.relative, `${name} ${JSON.stringify(error)}`).toBeLessThanOrEqual(
            op.tolerance ?? 1e-5,
          );
          expect(actual[name]?.dims).toEqual(tensor.dims);
        }
      }),
      { numRuns: 3 },
    );
  });

  /** onnxruntime wants to know the outputs' ranks: from a run that leaves them out of the file's checks. */
  async function withRanks(graph: Graph, inputs: readonly (Tensor | undefined)[]) {
    const expected = await results(graph, inputs);
    const outputs = graph.outputs.map((info) => ({
      ...info,
      dims: expected[info.name]?.dims.map((_, a) => `${info.name}_${a}`) ?? [],
    }));
    return { graph: { ...graph, outputs }, expected };
  }
});

test.each(STAY)('%s stays as it is', (name) => {
  const op = windowCases.find((one) => one.name === name);
  if (!op) throw new Error(`no case ${name}`);
  const [inputs = []] = fc.sample(op.inputs, 1);
  const dims = new Map(inputs.map((tensor, i) => [`i${i}`, tensor?.dims ?? []]));
  const dtypes = new Map(inputs.map((_, i) => [`i${i}`, 'float32'] as const));
  const graph = oneNode(op, inputs, []);
  expect(unfuse(graph, [{ dims, dtypes }]).nodes).toEqual(graph.nodes);
});
