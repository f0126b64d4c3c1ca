/**
 * Does a graph make sense? Protobuf parsers accept almost anything, so this is where a damaged file shows:
 * every value is made once and before it is read, and no quantised operator stands in the way.
 */
import { SppError } from '../../schema/errors.ts';
import { branchesOf } from './branch.ts';
import type { Graph, GraphNode } from './graph.ts';

/** Operators of quantised models. */
export const QUANTISED =
  /^(Q(Linear|Gemm|Attention|EmbedLayer|MoE|Ordered)|Quantize|Dequantize|DynamicQuantize|MatMul(Integer|NBits|Bnb4|FpQ4)|ConvInteger|GatherBlockQuantized)/;

const REEXPORT = 'Export the model again and check it with onnx.checker.check_model.';

/**
 * @param source how messages call the file
 * @throws `bad-model` naming the first thing that is wrong
 */
export function checkGraph(graph: Graph, source: string): void {
  const fail = (message: string, hint = REEXPORT): never => {
    throw new SppError('bad-model', `${source}: ${message}`, { hint });
  };
  if (graph.nodes.length === 0) fail('the graph has no nodes.');
  if (graph.outputs.length === 0) fail('the graph has no outputs.');
  const domains = new Set([...graph.nodes.flatMap(withInside)].map(({ domain }) => domain));
  for (const domain of domains)
    if (graph.opsets[domain] === undefined) fail(`no opset version for the domain '${domain || 'ai.onnx'}'.`);

  const defined = new Set(graph.initializers.keys());
  for (const input of graph.inputs) {
    if (defined.has(input.name)) fail(`the value ${input.name} is defined twice.`);
    defined.add(input.name);
  }
  checkNodes(graph.nodes, defined, fail);
  for (const output of graph.outputs)
    if (!defined.has(output.name)) fail(`the output ${output.name} is made by no node.`);
}

function withInside(node: GraphNode): GraphNode[] {
  return [node, ...branchesOf(node).flatMap(({ nodes }) => nodes.flatMap(withInside))];
}

/** @param defined values that may be read; what the nodes make is added */
function checkNodes(
  nodes: readonly GraphNode[],
  defined: Set<string>,
  fail: (message: string) => never,
): void {
  const madeSomewhere = new Set(nodes.flatMap(({ outputs }) => outputs));
  for (const node of nodes) {
    for (const input of node.inputs) {
      if (input === '' || defined.has(input)) continue;
      fail(
        madeSomewhere.has(input)
          ? `node ${node.name} (${node.opType}) reads ${input} before it is made; the nodes are not in topological order.`
          : `node ${node.name} (${node.opType}) reads ${input}, which nothing makes.`,
      );
    }
    for (const branch of branchesOf(node)) {
      const inside = new Set([...defined, ...branch.initializers.keys()]);
      checkNodes(branch.nodes, inside, fail);
      for (const output of branch.outputs)
        if (!inside.has(output))
          fail(`a branch of node ${node.name} (${node.opType}) does not make ${output}.`);
    }
    for (const output of node.outputs) {
      if (output === '') continue;
      if (defined.has(output)) fail(`the value ${output} is defined twice.`);
      defined.add(output);
    }
  }
}

/**
 * To be asked before the tensors are read: element types of quantised weights are none that we hold.
 * @throws `bad-model` where an operator of a quantised model is found
 */
export function refuseQuantised(nodes: readonly { name: string; opType: string }[], source: string): void {
  const found = nodes.filter((node) => QUANTISED.test(node.opType));
  const [first] = found;
  if (!first) return;
  const types = [...new Set(found.map((node) => node.opType))].join(', ');
  throw new SppError(
    'bad-model',
    `${source}: the model is quantised: ${found.length} nodes of type ${types} (first: ${first.name}).`,
    { hint: 'Start from the float32 model; quantise the levels after the path is built.' },
  );
}
