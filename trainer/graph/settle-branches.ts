/**
 * Puts the branch that is taken in the place of each If whose condition is the same at every size. TorchScript writes an If where the
 * model asks for a shape: is this axis of length 1, must this table be resized? What follows knows no control flow.
 */
import { SppError } from '../../schema/errors.ts';
import { renameReads } from './branch.ts';
import { shapeOnlyValues } from './fold.ts';
import type { Branch, Graph, GraphNode, Tensor } from './graph.ts';
import { type Draft, draftOf, withoutDeadCode } from './rewrite.ts';
import { traceGraph } from './trace.ts';

/** Ifs in branches come after those around them; exporters nest no deeper. */
const DEEPEST = 32;

/**
 * @returns the graph without Ifs; the same one where it has none
 * @throws `unsupported-op` naming the node whose condition depends on what inputs hold, or differs between sizes
 */
export async function settleBranches(given: Graph, source: string): Promise<Graph> {
  let graph = given;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const ifs = graph.nodes.filter(isIf);
    if (ifs.length === 0) return graph;
    refuseUnsettled(graph, ifs, source);
    const taken = await conditions(graph, ifs, source);
    const draft = draftOf(graph);
    for (const node of graph.nodes) {
      if (isIf(node)) inline(draft, node, taken.get(node.inputs[0] ?? '') ?? false);
      else draft.nodes.push(node);
    }
    graph = withoutDeadCode({ ...graph, nodes: draft.nodes, initializers: draft.initializers });
  }
  throw new SppError('unsupported-op', `${source}: its If nodes are nested more than ${DEEPEST} deep.`, {
    hint: 'Export the model by torch.onnx.export(..., dynamo=True), which decides such branches.',
  });
}

export function isIf({ opType, domain }: Pick<GraphNode, 'opType' | 'domain'>): boolean {
  return opType === 'If' && domain === '';
}

/** Ifs whose condition depends on what inputs hold: whatever is tried shows nothing of other inputs. */
function unsettledIfs(graph: Pick<Graph, 'nodes' | 'initializers'>): GraphNode[] {
  const fixed = shapeOnlyValues(graph);
  return graph.nodes.filter((node) => isIf(node) && !fixed.has(node.inputs[0] ?? ''));
}

function refuseUnsettled(graph: Graph, ifs: readonly GraphNode[], source: string): void {
  const [first] = unsettledIfs(graph);
  if (!first) return;
  const [condition = ''] = first.inputs;
  const isInput = graph.inputs.some(({ name }) => name === condition);
  throw new SppError(
    'unsupported-op',
    `${source}: node ${first.name} (If, one of ${ifs.length}) takes a branch by ${condition}, ${
      isInput ? 'an input' : 'which depends on what the inputs hold'
    }: only branches that are the same for all inputs can be followed.`,
    {
      hint: isInput
        ? 'Of a merged decoder, take the file of one branch: decoder_model.onnx, or an export without a cache.'
        : 'Export the model by torch.onnx.export(..., dynamo=True), or without what is decided: masks, caches, or lengths that vary.',
    },
  );
}

/** By condition, whether it holds: the same at all sizes that are tried. */
async function conditions(
  graph: Graph,
  ifs: readonly GraphNode[],
  source: string,
): Promise<ReadonlyMap<string, boolean>> {
  const asked = new Set(ifs.map(({ inputs: [condition = ''] }) => condition));
  const { traces } = await traceGraph(graph, source, (value) => asked.has(value));
  return new Map(
    [...asked].map((condition) => {
      const held = traces.map(({ kept }) => isTrue(kept.get(condition) ?? graph.initializers.get(condition)));
      const [first = false] = held;
      if (held.every((one) => one === first)) return [condition, first];
      const node = ifs.find(({ inputs }) => inputs[0] === condition);
      throw new SppError(
        'unsupported-op',
        `${source}: node ${node?.name} (If) takes another branch at other sizes of the inputs, by ${condition}.`,
        {
          hint: 'Export the model with the dimensions fixed that decide it, or by torch.onnx.export(..., dynamo=True).',
        },
      );
    }),
  );
}

function isTrue(tensor: Tensor | undefined): boolean {
  return Number(tensor?.data[0] ?? 0) !== 0;
}

/** Adds what one branch holds; names are its own only within it, so that they are made new. */
function inline(draft: Draft, node: GraphNode, holds: boolean): void {
  const attribute = node.attributes[holds ? 'then_branch' : 'else_branch'];
  if (attribute?.kind !== 'branch') throw noBranch(node);
  const branch: Branch = attribute.value;
  const names = new Map<string, string>();
  const called = (name: string) => names.get(name) ?? name;
  for (const [name, tensor] of branch.initializers)
    names.set(name, draft.constant(`${node.name}/${name}`, tensor));
  for (const inner of branch.nodes) {
    const renamed = renameReads(inner, called);
    const outputs = inner.outputs.map((output) => {
      if (output === '') return '';
      const fresh = draft.fresh(`${node.name}/${output}`);
      names.set(output, fresh);
      return fresh;
    });
    draft.nodes.push({ ...renamed, name: draft.fresh(`${node.name}/${inner.name}`), outputs });
  }
  for (const [i, output] of node.outputs.entries())
    if (output !== '')
      draft.nodes.push({
        name: draft.fresh(`${node.name}/Identity`),
        opType: 'Identity',
        domain: '',
        inputs: [called(branch.outputs[i] ?? '')],
        outputs: [output],
        attributes: {},
      });
}

function noBranch({ name }: GraphNode): SppError {
  return new SppError('bad-model', `Node ${name} (If) lacks a branch.`, {
    hint: 'Export the model again and check it with onnx.checker.check_model.',
  });
}
