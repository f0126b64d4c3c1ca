/** One graph for a step: forward, loss, and the loss's gradient in every mask and weight that is asked for. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { withoutDeadCode } from '../graph/rewrite.ts';
import { addBackward } from './backward.ts';
import { createBuilder } from './builder.ts';
import { zerosLike } from './expressions.ts';
import type { Facts } from './facts.ts';
import { foldNormalisations, parametersOf } from './fold-normalisation.ts';
import { fuseBiases } from './fuse-bias.ts';
import { fuseSilu } from './fuse-silu.ts';
import { leanGuards } from './lean-guards.ts';
import { addLoss, type LossKind } from './loss-graph.ts';
import { type MaskedUnits, maskForward } from './masked-forward.ts';
import { narrowRows } from './narrow-rows.ts';
import { recomputed, residualStream } from './recompute.ts';

export interface GradientRequest {
  /** Prepared: constants folded. */
  readonly graph: Graph;
  readonly facts: Facts;
  /** Masks are multiplied in at these pairs' sites. */
  readonly pairs: readonly MaskedUnits[];
  readonly loss: { readonly kind: LossKind; readonly output: string };
  /** Are the masks' gradients wanted? True by default. */
  readonly maskGradients?: boolean;
  /** float32 initializers that become inputs and whose gradient is wanted. */
  readonly weights?: readonly string[];
  /** Inputs that say how many units are kept: the same for all examples. */
  readonly widths?: readonly string[];
  /** Compute the activations between values of the residual stream twice instead of keeping them; false by default. */
  readonly recompute?: boolean;
}

export interface GradientGraph {
  /** Inputs: the graph's, the weights under their own names, the masks, the loss's target. */
  readonly graph: Graph;
  /** Names of the mask inputs [units], by pair. */
  readonly masks: readonly string[];
  /** Name of the input that the loss is held against: `addLoss` says in what form. */
  readonly target: string;
  /** Name of the output int64 [2] that says how many rows and classes the logits had: the target must have as many. */
  readonly shape: string;
  /** Name of the output that is the loss, summed over rows. */
  readonly loss: string;
  /** Names of the outputs d loss / d mask [units], by pair; none where they are not wanted. */
  readonly gradients: readonly string[];
  /** Names of the outputs d loss / d weight, in the whole weight's shape, in the order asked for. */
  readonly weightGradients: readonly string[];
}

/** From here on nodes mean the same in `WRITTEN_OPSET`. */
const OLDEST_OPSET = 13;
/** Rules write what this opset knows: Shape in part, scatters that add. */
export const WRITTEN_OPSET = 17;
const IR_VERSION = 8;

/**
 * @throws `unsupported-op` listing the operators without a rule, or naming an opset that is too old; `bad-model` for a loss, a
 * mask or a weight that is not there; `bad-shape` for a mask that does not cover its axis
 */
export function gradientGraph(request: GradientRequest): GradientGraph {
  const { graph, facts, pairs, loss, maskGradients = true, weights = [] } = request;
  const opset = graph.opsets[''] ?? 0;
  if (opset < OLDEST_OPSET)
    throw new SppError(
      'unsupported-op',
      `Gradients for onnxruntime need opset ${OLDEST_OPSET}, not ${opset}.`,
      {
        hint: 'Export the model with opset 17 or newer, or use --backend wasm.',
      },
    );
  if (!facts.has(loss.output)) throw new SppError('bad-model', `The graph has no output ${loss.output}.`);
  const forward = maskForward(withInputs(graph, weights), facts, pairs);
  const logits = forward.masked(loss.output);
  const needed = withoutDeadCode({
    ...forward.graph,
    irVersion: Math.max(graph.irVersion, IR_VERSION),
    opsets: { ...graph.opsets, '': Math.max(opset, WRITTEN_OPSET) },
    outputs: [{ name: logits, dtype: 'float32', dims: [] }],
  });
  const parameters = [...weights, ...(request.widths ?? [])];
  const narrowed = narrowRows(fuseSilu(needed), forward.facts);
  const folded = foldNormalisations(narrowed.graph, narrowed.facts, parameters);
  const lowered = weights.length > 0 ? fuseBiases(folded.graph, folded.facts) : folded;
  const pass = { ...lowered, parameters: parametersOf(lowered.graph, [...parameters, ...forward.masks]) };
  const stream = request.recompute ? residualStream(pass) : [];
  const build = createBuilder(lowered.graph, lowered.facts);
  const target = build.fresh('loss_target');
  const { sum, shape, gradient, target: input } = addLoss(build, loss.kind, logits, target);
  const wantedMasks = maskGradients ? forward.masks : [];
  const backward = addBackward(build, {
    nodes: lowered.graph.nodes,
    seeds: new Map([[logits, gradient]]),
    wanted: [...wantedMasks, ...weights],
    passed: stream,
  });
  // A graph output must be a value of its own: two masks may well have the same gradient.
  const gradientOf = (value: string, name: string) =>
    build.output(name, backward.get(value) ?? zerosLike(build, value));
  const gradients = wantedMasks.map((mask) => gradientOf(mask, 'mask_gradient'));
  const weightGradients = weights.map((weight) => gradientOf(weight, `${weight}_gradient`));
  const total = build.output('loss', sum);
  const rows = build.output('loss_shape', shape);
  const float = (name: string, dims: ValueInfo['dims']): ValueInfo => ({ name, dtype: 'float32', dims });
  const complete = build.graph([
    float(total, []),
    { name: rows, dtype: 'int64', dims: [2] },
    ...gradients.map((name, pair) => float(name, [pairs[pair]?.units ?? 0])),
    ...weightGradients.map((name, i) => float(name, graph.initializers.get(weights[i] ?? '')?.dims ?? [])),
  ]);
  const results = [...gradients, ...weightGradients];
  const written = request.recompute
    ? recomputed(complete, pass, logits, stream, backward, results)
    : complete;
  const lean = leanGuards(written);
  return {
    graph: { ...lean, inputs: [...lean.inputs, input] },
    masks: forward.masks,
    target,
    shape: rows,
    loss: total,
    gradients,
    weightGradients,
  };
}

/** Initializers turned into inputs of the same name and shape. @throws `bad-model` for those that are not there */
function withInputs(graph: Graph, weights: readonly string[]): Graph {
  const initializers = new Map(graph.initializers);
  const inputs = weights.map((name): ValueInfo => {
    const tensor = initializers.get(name);
    if (tensor?.dtype !== 'float32')
      throw new SppError('bad-model', `The graph has no float32 weight ${name} to differentiate.`);
    initializers.delete(name);
    return { name, dtype: 'float32', dims: tensor.dims };
  });
  return { ...graph, initializers, inputs: [...graph.inputs, ...inputs] };
}
