/** The inclusion's update of masks in two places: on the host, as the search runs it, and as an ONNX graph that onnxruntime runs. */
import type { Graph, GraphNode, Tensor } from '../../trainer/graph/graph.ts';
import { writeOnnx } from '../../trainer/graph/onnx-file.ts';
import { relativeError } from '../../trainer/graph/relative-error.ts';
import { createOrtSession } from '../../trainer/runtime/ort-session.ts';
import { couplingAt, defaultInclusion, inclusionStep, initialState } from '../../trainer/search/inclusion.ts';
import type { Side } from './sides.ts';

const { stepSize, kappa, lambda, steps } = defaultInclusion;
const STATE = ['masks', 'dual', 'gamma'] as const;

/** @returns both sides, and how far apart masks are after as many steps */
export async function inclusionSides(
  units: number,
  threads: number,
): Promise<{ host: Side; graph: Side; difference: number }> {
  const like = (of: (unit: number) => number) => Float64Array.from({ length: units }, (_, unit) => of(unit));
  const scales = {
    curvature: like((unit) => 1e-3 * (1 + (unit % 97))),
    cost: like((unit) => 1 + (unit % 3)),
  };
  const gradient = like((unit) => -1e-3 * (1 + Math.sin(unit)));
  let state = initialState(units);
  const onHost = async () => {
    state = inclusionStep(state, gradient, scales, defaultInclusion);
  };
  const session = await createOrtSession(writeOnnx(inclusionGraph(units)), { threads });
  const fixed = { slope: vector(gradient), curvature: vector(scales.curvature), cost: vector(scales.cost) };
  let values: Readonly<Record<string, Tensor>> = {
    masks: vector(like(() => 1)),
    dual: vector(like(() => 0)),
    gamma: vector(like(() => 0)),
  };
  let step = 0;
  const inGraph = async () => {
    const c0 = {
      dtype: 'float32' as const,
      dims: [],
      data: Float32Array.of(couplingAt(step, scales, defaultInclusion)),
    };
    const given = Object.fromEntries(STATE.map((name) => [name, values[name] as Tensor]));
    const made = await session.run({ ...given, ...fixed, c0 });
    values = Object.fromEntries(STATE.map((name) => [name, made[`${name}/next`] as Tensor]));
    step += 1;
  };
  for (let i = 0; i < 2; i++) await Promise.all([onHost(), inGraph()]);
  return {
    host: { name: 'inclusion on the host', run: onHost, close: async () => {} },
    graph: { name: 'inclusion in a graph', run: inGraph, close: () => session.close() },
    difference: relativeError((values.masks as Tensor).data as Float32Array, Float32Array.from(state.masks))
      .relative,
  };
}

function vector(values: Float64Array): Tensor {
  return { dtype: 'float32', dims: [values.length], data: Float32Array.from(values) };
}

function inclusionGraph(units: number): Graph {
  const nodes: GraphNode[] = [];
  const initializers = new Map<string, Tensor>();
  const constant = (value: number) => {
    const name = `constant ${value}`;
    initializers.set(name, { dtype: 'float32', dims: [], data: Float32Array.of(value) });
    return name;
  };
  const add = (opType: string, inputs: string[], name = `value ${nodes.length}`) => {
    nodes.push({ name: `node ${nodes.length}`, opType, domain: '', inputs, outputs: [name], attributes: {} });
    return name;
  };
  const c = add('Mul', ['c0', 'cost']);
  const pull = add('Add', ['slope', add('Mul', [c, add('Sub', ['masks', 'gamma'])])]);
  const move = add('Div', [add('Mul', [constant(stepSize), pull]), add('Add', ['curvature', c])]);
  const bounded = add('Clip', [move, constant(-stepSize), constant(stepSize)]);
  const masks = add('Clip', [add('Sub', ['masks', bounded]), constant(0), constant(1.5)], 'masks/next');
  const grown = add('Mul', [constant((2 * lambda) / steps), add('Sub', [masks, 'gamma'])]);
  const dual = add('Add', ['dual', grown], 'dual/next');
  add('Mul', [constant(kappa), add('Relu', [add('Sub', [dual, constant(lambda)])])], 'gamma/next');
  const info = (name: string, dims: readonly number[]) => ({ name, dtype: 'float32' as const, dims });
  return {
    name: 'inclusion',
    irVersion: 8,
    opsets: { '': 17 },
    inputs: [info('c0', []), ...[...STATE, 'slope', 'curvature', 'cost'].map((name) => info(name, [units]))],
    outputs: STATE.map((name) => info(`${name}/next`, [units])),
    initializers,
    nodes,
  };
}
