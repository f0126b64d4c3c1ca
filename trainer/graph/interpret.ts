/**
 * Runs a graph on TensorFlow.js. Everything that can be known beforehand is: operators are resolved, what depends on initializers
 * alone is computed once, and each value's last reader is known, so that it is freed there (a gradient keeps what it needs itself).
 */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import { elementCount, type Graph, type GraphNode, type Tensor } from './graph.ts';
import { applyMask, type MaskedAxis } from './mask-site.ts';
import { resolveOps } from './ops/index.ts';
import type { OpVersion } from './ops/op.ts';
import { hostFromTensor, isHost, toDevice, type Value } from './value.ts';

export interface InterpreterOptions {
  /** The values wanted; the graph's outputs when absent. Only what they depend on is computed. */
  readonly outputs?: readonly string[];
  /** Mask sites by mask: `run` takes one mask for each entry. */
  readonly maskSites?: readonly (readonly MaskedAxis[])[];
  /** float32 initializers that change from run to run and take gradients: `run` takes one tensor for each. */
  readonly variables?: readonly string[];
}

export interface Interpreter {
  /**
   * Computes the outputs, in order. Call inside a tidy: the results and nothing else belong to the caller.
   * @param feeds one value per graph input; floats are uploaded unless they are on the backend already
   * @param masks [units] each, one per entry of `maskSites`; none leaves the graph as it is
   * @param variables in the shapes of the initializers that they stand for
   * @throws `bad-shape`, `bad-datatype` for feeds that do not fit, and `bad-model` naming the node that failed
   */
  run(
    feeds: Readonly<Record<string, Tensor | tf.Tensor>>,
    masks?: readonly tf.Tensor1D[],
    variables?: readonly tf.Tensor[],
  ): Value[];
  /** Frees the weights. */
  dispose(): void;
}

interface Step {
  readonly node: GraphNode;
  readonly op: OpVersion;
  readonly gradient: readonly boolean[];
  /** Values that nothing reads after this step. */
  readonly frees: readonly string[];
}

/**
 * @throws `unsupported-op` listing all operators that are missing; `bad-model` for an output or mask site that is not in the graph
 */
export function createInterpreter(graph: Graph, options: InterpreterOptions = {}): Interpreter {
  const outputs = options.outputs ?? graph.outputs.map(({ name }) => name);
  const resolved = resolveOps(graph);
  const needed = neededNodes(graph, outputs);
  const sites = sitesByTensor(options.maskSites ?? []);
  checkNames(graph, outputs, [...sites.keys()]);

  const variables = options.variables ?? [];
  checkVariables(graph, variables);
  const constants = uploadInitializers(graph, needed, new Set(variables));
  const live: GraphNode[] = [];
  for (const node of needed) {
    const known = node.inputs.every((name) => name === '' || constants.has(name));
    if (!known || node.outputs.some((name) => sites.has(name))) {
      live.push(node);
      continue;
    }
    const values = constants as ReadonlyMap<string, Value>;
    const step = { node, op: resolved.get(node) as OpVersion, gradient: [], frees: [] };
    evaluate(step, graph, values).forEach((value, i) => {
      if (!isHost(value)) tf.keep(value);
      constants.set(node.outputs[i] as string, value);
    });
  }
  freeUnread(constants, live, outputs);
  const steps = planSteps(live, resolved, new Set(sites.keys()), new Set(variables), outputs);

  return {
    run(feeds, masks = [], given = []) {
      // A clone may be freed behind its last reader; what the caller differentiates in may not.
      const values = new Map<string, Value>(
        variables.map((name, i) => [name, tf.clone(given[i] as tf.Tensor)]),
      );
      for (const info of graph.inputs) {
        const fed = feeds[info.name];
        if (fed === undefined) throw missingFeed(graph, info.name);
        if (steps.some(({ node }) => node.inputs.includes(info.name)) || outputs.includes(info.name))
          values.set(info.name, checkedFeed(fed, info));
      }
      const lookup = { get: (name: string) => values.get(name) ?? constants.get(name) };
      for (const step of steps) {
        const made = evaluate(step, graph, lookup);
        made.forEach((value, i) => {
          const name = step.node.outputs[i] as string;
          const masked = masks.length > 0 ? (sites.get(name) ?? []) : [];
          values.set(
            name,
            masked.reduce<Value>(
              (x, { site, mask, throughX }) =>
                tf.tidy(() =>
                  applyMask(
                    toDevice(x),
                    masks[mask] as tf.Tensor1D,
                    site,
                    throughX || step.gradient.includes(true),
                  ),
                ),
              value,
            ),
          );
        });
        for (const name of step.frees) release(values, name);
      }
      return outputs.map((name) => {
        const value = lookup.get(name);
        if (value === undefined) throw new SppError('bad-model', `The value ${name} was not computed.`);
        return value;
      });
    },
    dispose() {
      for (const value of constants.values()) if (!isHost(value)) value.dispose();
    },
  };
}

interface PlacedMask {
  readonly site: MaskedAxis;
  readonly mask: number;
  /** A second mask on one value: the first one's gradient flows through it. */
  readonly throughX: boolean;
}

function sitesByTensor(masks: readonly (readonly MaskedAxis[])[]): Map<string, PlacedMask[]> {
  const sites = new Map<string, PlacedMask[]>();
  masks.forEach((list, mask) => {
    for (const site of list) {
      const placed = sites.get(site.tensor) ?? [];
      placed.push({ site, mask, throughX: placed.length > 0 });
      sites.set(site.tensor, placed);
    }
  });
  return sites;
}

/** The nodes that the outputs depend on, in graph order. */
function neededNodes(graph: Graph, outputs: readonly string[]): GraphNode[] {
  const wanted = new Set(outputs);
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => wanted.has(name))) continue;
    for (const name of node.inputs) wanted.add(name);
    nodes.push(node);
  }
  return nodes.reverse();
}

function checkNames(graph: Graph, outputs: readonly string[], sites: readonly string[]): void {
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  for (const name of sites)
    if (!made.has(name)) throw new SppError('bad-model', `The mask site ${name} is the output of no node.`);
  for (const name of outputs)
    if (
      !made.has(name) &&
      !graph.initializers.has(name) &&
      !graph.inputs.some((input) => input.name === name)
    )
      throw new SppError('bad-model', `The graph has no value ${name}.`);
}

function checkVariables(graph: Graph, variables: readonly string[]): void {
  const wrong = variables.find((name) => graph.initializers.get(name)?.dtype !== 'float32');
  if (wrong !== undefined)
    throw new SppError('bad-model', `The graph has no float32 weight ${wrong} to differentiate.`);
}

/** Float weights go to the backend and stay there; integers, and single floats that may steer shapes, stay on the host. */
function uploadInitializers(
  graph: Graph,
  nodes: readonly GraphNode[],
  variables: ReadonlySet<string>,
): Map<string, Value> {
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const constants = new Map<string, Value>();
  for (const [name, tensor] of graph.initializers) {
    if (variables.has(name)) continue;
    if (!read.has(name) && !graph.outputs.some((output) => output.name === name)) continue;
    const float = tensor.dtype === 'float32' && elementCount(tensor.dims) > 1;
    constants.set(
      name,
      float
        ? tf.keep(tf.tensor(tensor.data as Float32Array, [...tensor.dims], 'float32'))
        : hostFromTensor(tensor),
    );
  }
  return constants;
}

function freeUnread(
  constants: Map<string, Value>,
  live: readonly GraphNode[],
  outputs: readonly string[],
): void {
  const read = new Set([...live.flatMap((node) => node.inputs), ...outputs]);
  const kept = new Set([...constants].filter(([name]) => read.has(name)).map(([, value]) => value));
  for (const [name, value] of constants) {
    if (read.has(name)) continue;
    if (!isHost(value) && !kept.has(value)) value.dispose();
    constants.delete(name);
  }
}

function planSteps(
  nodes: readonly GraphNode[],
  resolved: ReadonlyMap<GraphNode, OpVersion>,
  sites: ReadonlySet<string>,
  variables: ReadonlySet<string>,
  outputs: readonly string[],
): Step[] {
  const lastReader = new Map<string, GraphNode>();
  for (const node of nodes) {
    for (const name of node.outputs) lastReader.set(name, node);
    for (const name of node.inputs) lastReader.set(name, node);
  }
  for (const name of outputs) lastReader.delete(name);
  // A gradient is wanted wherever a mask or a variable has its influence.
  const carries = new Set(variables);
  return nodes.map((node) => {
    const gradient = node.inputs.map((name) => carries.has(name));
    for (const name of node.outputs) if (gradient.includes(true) || sites.has(name)) carries.add(name);
    const touched = new Set([...node.inputs, ...node.outputs]);
    const frees = [...touched].filter((name) => lastReader.get(name) === node);
    return { node, op: resolved.get(node) as OpVersion, gradient, frees };
  });
}

/** Runs one node in an engine scope of its own: what it made on the way is freed, its outputs live on in the scope around. */
function evaluate(
  { node, op, gradient }: Step,
  graph: Graph,
  values: { get(name: string): Value | undefined },
): readonly Value[] {
  const inputs = node.inputs.map((name) => (name === '' ? undefined : values.get(name)));
  const engine = tf.engine();
  let made: readonly Value[] = [];
  engine.startScope(node.name);
  try {
    const result = op.evaluate({ node, opset: graph.opsets[node.domain] ?? 0, inputs, gradient });
    made = Array.isArray(result) ? result : [result as Value];
    return made;
  } catch (cause) {
    // Most operators do not know their node's name.
    if (cause instanceof SppError && cause.message.includes(`Node ${node.name} `)) throw cause;
    const shapes = inputs.map((value) => (value ? `[${isHost(value) ? value.dims : value.shape}]` : '-'));
    throw new SppError(
      cause instanceof SppError ? cause.code : 'bad-model',
      `Node ${node.name} (${node.opType}) failed on inputs of shape ${shapes.join(', ')}: ${(cause as Error).message}`,
      { cause, hint: 'Check that the inputs have the sizes the model was exported for.' },
    );
  } finally {
    engine.endScope(made.filter((value) => !isHost(value)) as tf.Tensor[]);
  }
}

/** Frees a value unless another name holds the same tensor (Identity, a reshape to the same shape). */
function release(values: Map<string, Value>, name: string): void {
  const value = values.get(name);
  values.delete(name);
  if (value === undefined || isHost(value)) return;
  for (const other of values.values()) if (other === value) return;
  if (!value.kept) value.dispose();
}

function missingFeed(graph: Graph, name: string): SppError {
  return new SppError('bad-shape', `The input ${name} is not fed.`, {
    hint: `The model takes: ${graph.inputs.map((input) => input.name).join(', ')}.`,
  });
}

function checkedFeed(fed: Tensor | tf.Tensor, info: Graph['inputs'][number]): Value {
  const dims = fed instanceof tf.Tensor ? fed.shape : fed.dims;
  const fits =
    dims.length === info.dims.length &&
    info.dims.every((dim, a) => typeof dim === 'string' || dim === dims[a]);
  if (!fits)
    throw new SppError('bad-shape', `The input ${info.name} takes [${info.dims}] but was fed [${dims}].`);
  const wantsFloat = info.dtype.startsWith('float');
  if (fed.dtype.startsWith('float') !== wantsFloat)
    throw new SppError(
      'bad-datatype',
      `The input ${info.name} takes ${info.dtype} but was fed ${fed.dtype}.`,
    );
  if (fed instanceof tf.Tensor) return tf.clone(fed);
  if (!wantsFloat) return hostFromTensor(fed);
  return tf.tensor(Float32Array.from(fed.data as Float32Array), [...fed.dims], 'float32');
}
