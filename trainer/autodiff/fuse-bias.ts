/**
 * A product with a matrix and the bias behind it as one operator: onnxruntime does this by itself only where it knows all lengths.
 * The bias is then there before the product is added up, and no further pass over the result is needed.
 */
import { consumers, type Graph, type GraphNode, producers } from '../graph/graph.ts';
import { draftOf, int64 } from '../graph/rewrite.ts';
import type { Facts, ValueFacts } from './facts.ts';

/** @returns the same function; products that something else reads, and those of free inner lengths, stay */
export function fuseBiases(graph: Graph, known: Facts): { readonly graph: Graph; readonly facts: Facts } {
  const facts = new Map(known);
  const [makers, readers] = [producers(graph), consumers(graph)];
  const shown = new Set(graph.outputs.map(({ name }) => name));
  const draft = draftOf(graph);
  const gone = new Set<string>();
  const fused = new Map<string, GraphNode[]>();
  for (const node of graph.nodes) {
    const found = biased(node);
    if (found === undefined) continue;
    const { product, bias, dims } = found;
    const [x = '', matrix = ''] = product.inputs;
    const inner = dims(x).at(-1) as number;
    const from = draft.nodes.length;
    const rows = draft.add('Reshape', [x, draft.constant('bias_rows', int64([-1, inner]))], `${x}_rows`);
    const flat = draft.add('Gemm', [rows, matrix, bias], `${node.name}_flat`);
    const out = dims(node.outputs[0] ?? '');
    const shape = draft.constant('bias_shape', int64(out.map((length) => length ?? -1)));
    note(rows, x, [undefined, inner]);
    note(flat, x, [undefined, out.at(-1)]);
    draft.nodes.push({ ...node, opType: 'Reshape', inputs: [flat, shape], attributes: {} });
    fused.set(node.name, draft.nodes.slice(from));
    gone.add(product.name);
  }
  const nodes = graph.nodes.flatMap((node) => (gone.has(node.name) ? [] : (fused.get(node.name) ?? [node])));
  return { graph: { ...graph, nodes, initializers: draft.initializers }, facts };

  function note(value: string, like: string, dims: ValueFacts['dims']): void {
    facts.set(value, { dtype: facts.get(like)?.dtype ?? 'float32', dims });
  }

  function biased(node: GraphNode) {
    if (node.opType !== 'Add' || node.domain !== '') return undefined;
    const product = node.inputs.map((input) => makers.get(input)).find((maker) => maker?.opType === 'MatMul');
    const [made = ''] = product?.outputs ?? [];
    const bias = node.inputs.find((input) => input !== made) ?? '';
    const dims = (value: string): ValueFacts['dims'] => facts.get(value)?.dims ?? [];
    const [x = '', matrix = ''] = product?.inputs ?? [];
    const [own, theirs, out] = [dims(x), dims(matrix), dims(node.outputs[0] ?? '')];
    const fits =
      product?.domain === '' &&
      facts.get(made)?.dtype === 'float32' &&
      own.length > 2 &&
      theirs.length === 2 &&
      own.at(-1) !== undefined &&
      out.at(-1) !== undefined &&
      dims(bias).length === 1 &&
      dims(bias)[0] === out.at(-1) &&
      out.length === own.length &&
      out.filter((length) => length === undefined).length <= 1;
    const alone = readers.get(made)?.length === 1 && !shown.has(made);
    return fits && alone && product ? { product, bias, dims } : undefined;
  }
}
