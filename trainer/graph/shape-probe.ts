/**
 * A graph made to tell the shapes of its values: each is followed by a Shape, so that no run hands out, or keeps, the values
 * themselves; and matrices that multiply or are looked up in by something computed are left out, as no shape depends on what they hold.
 */
import { computeThreads } from '../runtime/compute.ts';
import { createOrtSession, type OrtSession } from '../runtime/ort-session.ts';
import { type Dtype, type Graph, type GraphNode, intAttribute, type Tensor } from './graph.ts';
import { ortModel } from './ort-model.ts';
import { type Draft, draftOf, int64, withoutDeadCode } from './rewrite.ts';
import type { Trace } from './traces.ts';

export interface Probe {
  /** @throws `bad-model` when the graph does not run on these inputs */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Trace>;
  close(): Promise<void>;
}

/** Squeeze and Unsqueeze take their axes as an input from this opset on. */
const AXES_INPUT = 13;
/** Slice takes its bounds as inputs from this one on; older graphs keep their matrices. */
const BOUNDS_INPUT = 10;

/**
 * @param keep whose contents to keep
 * @throws `bad-model` when onnxruntime does not load the graph
 */
export async function openProbe(graph: Graph, keep: (value: string) => boolean): Promise<Probe> {
  const light = withoutMatrices(graph, keep);
  const types = await valueTypes(light);
  const taken = new Set<string>([...types.keys(), ...light.initializers.keys()]);
  for (const { name } of light.inputs) taken.add(name);
  const shapes = new Map<string, string>();
  const kept: string[] = [];
  const behind = new Map<string, string>();
  const fresh = (base: string) => {
    let name = base;
    while (taken.has(name)) name += '_';
    taken.add(name);
    return name;
  };
  // Whoever reads the value waits for its shape: onnxruntime would take the shapes last, and keep every value until then.
  const looked = (value: string): GraphNode[] => {
    if (!types.has(value)) return [];
    if (keep(value)) {
      kept.push(value);
      return [];
    }
    const shape = fresh(`${value}_shape`);
    shapes.set(value, shape);
    const base = { domain: '', attributes: {} } as const;
    const look = { ...base, name: shape, opType: 'Shape', inputs: [value], outputs: [shape] };
    // Integers are small, and onnxruntime follows what sizes hold when it loads a graph, but not through this Reshape.
    if (types.get(value) !== 'float32') return [look];
    const same = fresh(`${value}_same`);
    behind.set(value, same);
    return [look, { ...base, name: same, opType: 'Reshape', inputs: [value, shape], outputs: [same] }];
  };
  const nodes = light.nodes.flatMap((node) => [
    { ...node, inputs: node.inputs.map((input) => behind.get(input) ?? input) },
    ...node.outputs.flatMap(looked),
  ]);
  const outputs = [...shapes.values(), ...kept];
  const session = await openSession({ ...light, nodes, outputs: [] }, outputs);
  const initializers = [...graph.initializers];
  return {
    async run(inputs) {
      const values = await session.run(inputs);
      const contents = kept.flatMap((name) => {
        const tensor = values[name];
        return tensor ? [[name, tensor] as const] : [];
      });
      const whole = [...initializers, ...Object.entries(inputs), ...contents];
      const dims = new Map<string, readonly number[]>(whole.map(([name, tensor]) => [name, tensor.dims]));
      for (const [value, name] of shapes)
        dims.set(value, Array.from((values[name]?.data ?? []) as BigInt64Array, Number));
      const dtypes = new Map([...types, ...whole.map(([name, { dtype }]) => [name, dtype] as const)]);
      return { dims, dtypes, kept: new Map(contents) };
    },
    close: () => session.close(),
  };
}

function openSession(graph: Graph, outputs: readonly string[]): Promise<OrtSession> {
  return createOrtSession(ortModel(graph, outputs), {
    optimise: false,
    threads: computeThreads(),
    planMemory: false,
  });
}

/** Element types of what the nodes make, as onnxruntime infers them when it loads the graph; of those that Tensor knows. */
async function valueTypes(graph: Graph): Promise<Map<string, Dtype>> {
  const made = graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== '');
  const session = await openSession({ ...graph, outputs: [] }, made);
  await session.close();
  return new Map(session.outputTypes);
}

/** Every product with a matrix becomes its left operand's first column, repeated; every look-up its indices, repeated. */
function withoutMatrices(graph: Graph, keep: (value: string) => boolean): Graph {
  const opset = graph.opsets[''] ?? 0;
  if (opset < BOUNDS_INPUT) return graph;
  const draft = draftOf(graph);
  for (const node of graph.nodes) {
    const written =
      node.domain === '' &&
      !node.outputs.some(keep) &&
      (node.opType === 'Gather' ? lookUp(graph, draft, node, opset) : product(graph, draft, node));
    if (!written) draft.nodes.push(node);
  }
  return withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
}

function product(graph: Graph, draft: Draft, node: GraphNode): boolean {
  const [input = '', weight = ''] = node.inputs;
  const matrix = graph.initializers.get(weight);
  if (matrix?.dtype !== 'float32' || matrix.dims.length !== 2 || graph.initializers.has(input)) return false;
  const general = node.opType === 'Gemm';
  if (!general && node.opType !== 'MatMul') return false;
  if (general && intAttribute(node, 'transA', 0) !== 0) return false;
  const [inner = 0, outer = 0] =
    general && intAttribute(node, 'transB', 0) !== 0 ? matrix.dims.toReversed() : matrix.dims;
  // A weight that does not fit must be refused as the file itself would be: the sum of a slice past the end has no elements.
  const bound = (value: number) => draft.constant(`${node.name}_bound`, int64([value]));
  const column = draft.add(
    'Slice',
    [input, bound(inner - 1), bound(inner), bound(-1)],
    `${node.name}_column`,
  );
  finish(draft, node, column, outer);
  return true;
}

function lookUp(graph: Graph, draft: Draft, node: GraphNode, opset: number): boolean {
  const [table = '', indices = ''] = node.inputs;
  const matrix = graph.initializers.get(table);
  if (matrix?.dtype !== 'float32' || matrix.dims.length !== 2 || graph.initializers.has(indices))
    return false;
  if (intAttribute(node, 'axis', 0) !== 0) return false;
  const floats = draft.add('Cast', [indices], `${node.name}_floats`, { to: { kind: 'int', value: 1 } });
  const added =
    opset < AXES_INPUT
      ? draft.add('Unsqueeze', [floats], `${node.name}_column`, { axes: { kind: 'ints', value: [-1] } })
      : draft.add(
          'Unsqueeze',
          [floats, draft.constant(`${node.name}_axis`, int64([-1]))],
          `${node.name}_column`,
        );
  finish(draft, node, added, matrix.dims[1] ?? 0);
  return true;
}

function finish(draft: Draft, node: GraphNode, column: string, width: number): void {
  const shape = draft.constant(`${node.name}_width`, int64([width]));
  draft.nodes.push({ ...node, opType: 'Expand', inputs: [column, shape], attributes: {} });
}
