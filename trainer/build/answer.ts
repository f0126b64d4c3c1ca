/** The one value that search, compensation and measuring hold a model to: the task's output, or several made one. */
import { SppError } from '../../schema/errors.ts';
import type { BoundDataset } from '../data/bind-dataset.ts';
import type { Graph, GraphNode, Tensor, ValueInfo } from '../graph/graph.ts';
import { writeOnnx } from '../graph/onnx-file.ts';
import type { OutputShape, Task } from '../measure/task.ts';
import { createOrtSession } from '../runtime/ort-session.ts';

/** Float outputs that have one row an example: as many as there are examples, of a shape that does not depend on them. */
export async function probeOutputs(graph: Graph, data: BoundDataset): Promise<OutputShape[]> {
  const session = await createOrtSession(writeOnnx(graph), { threads: 1 });
  try {
    const runs: { count: number; outputs: Record<string, Tensor> }[] = [];
    for (const count of [2, 3]) {
      const indices = Array.from({ length: count }, (_, i) => i % data.train.count);
      runs.push({ count, outputs: await session.run(await data.train.feeds(indices)) });
    }
    return graph.outputs.flatMap(({ name }) => {
      const dims = runs.map(({ outputs }) => outputs[name]?.dims);
      const [first, second] = dims.map((each) => each?.slice(1));
      const float = runs.every(({ outputs }) => outputs[name]?.dtype === 'float32');
      const batched = runs.every(({ count }, run) => dims[run]?.[0] === count);
      const fits = float && batched && first !== undefined && first.length > 0;
      return fits && first.join() === second?.join() ? [{ name, shape: first }] : [];
    });
  } finally {
    await session.close();
  }
}

const UNIT = 'answer/unit';
const JOINT = 'answer/joint';

/** Keeps the square root's slope finite where a vector is zero. */
const FLOOR = 1e-12;

/**
 * The graph with the task's answer as its only output. Scores stay as they are; vectors that are compared by direction
 * become unit vectors, one behind the other: KL between softmaxes of unit vectors is to second order
 * (1 - cosine) / size, so the same loss serves them.
 */
export function answerGraph(graph: Graph, task: Task): Graph {
  const outputs = task.outputs.map((name) => outputOf(graph, name));
  const direct = task.name !== 'embedding' && task.name !== 'contrastive';
  const [single] = outputs;
  if (direct && single !== undefined && outputs.length === 1) return { ...graph, outputs: [single] };
  const initializers = new Map(graph.initializers);
  initializers.set(`${UNIT}/axis`, { dtype: 'int64', dims: [1], data: BigInt64Array.of(-1n) });
  initializers.set(`${UNIT}/floor`, { dtype: 'float32', dims: [1], data: Float32Array.of(FLOOR) });
  const nodes: GraphNode[] = [...graph.nodes];
  const add = (
    opType: string,
    inputs: string[],
    output: string,
    attributes: GraphNode['attributes'] = {},
  ) => {
    nodes.push({ name: output, opType, domain: '', inputs, outputs: [output], attributes });
    return output;
  };
  const units = task.outputs.map((name) => {
    const square = add('Mul', [name, name], `${UNIT}/${name}/square`);
    const sum = add('ReduceSum', [square, `${UNIT}/axis`], `${UNIT}/${name}/sum`, {
      keepdims: { kind: 'int', value: 1 },
    });
    const length = add(
      'Sqrt',
      [add('Add', [sum, `${UNIT}/floor`], `${UNIT}/${name}/positive`)],
      `${UNIT}/${name}/length`,
    );
    return add('Div', [name, length], `${UNIT}/${name}`);
  });
  add('Concat', units, JOINT, { axis: { kind: 'int', value: -1 } });
  const dims = (single?.dims ?? []).map((dim, axis, all) => (axis === all.length - 1 ? 'answer' : dim));
  return { ...graph, initializers, nodes, outputs: [{ name: JOINT, dtype: 'float32', dims }] };
}

function outputOf(graph: Graph, name: string): ValueInfo {
  const output = graph.outputs.find((each) => each.name === name);
  if (output === undefined) throw new SppError('bad-model', `The model has no output ${name}.`);
  return output;
}

/** Name of the answer of an answer graph. */
export function answerName(graph: Graph): string {
  return graph.outputs[0]?.name ?? '';
}
