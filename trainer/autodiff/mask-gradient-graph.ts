/** One graph for a step of the search: forward with masks, loss, and the loss's gradient in every mask. */
import { SppError } from '../../schema/errors.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { withoutDeadCode } from '../graph/rewrite.ts';
import { addBackward } from './backward.ts';
import { createBuilder } from './builder.ts';
import { zerosLike } from './expressions.ts';
import type { Facts } from './facts.ts';
import { foldNormalisations } from './fold-normalisation.ts';
import { addLoss, type LossKind } from './loss-graph.ts';
import { type MaskedUnits, maskForward } from './masked-forward.ts';

export interface MaskGradientRequest {
  /** Prepared: constants folded. */
  readonly graph: Graph;
  readonly facts: Facts;
  readonly pairs: readonly MaskedUnits[];
  readonly loss: { readonly kind: LossKind; readonly output: string };
}

export interface MaskGradientGraph {
  /** Inputs: the model's, the masks, the loss's target. */
  readonly graph: Graph;
  /** Names of the mask inputs [units], by pair. */
  readonly masks: readonly string[];
  /** Name of the input that the loss is held against: `addLoss` says in what form. */
  readonly target: string;
  /** Name of the output int64 [2] that says how many rows and classes the logits had: the target must have as many. */
  readonly shape: string;
  /** Name of the output that is the loss, summed over rows. */
  readonly loss: string;
  /** Names of the outputs d loss / d mask [units], by pair. */
  readonly gradients: readonly string[];
}

/** From here on nodes mean the same in `WRITTEN_OPSET`. */
const OLDEST_OPSET = 13;
/** Rules write what this opset knows: Shape in part, scatters that add. */
export const WRITTEN_OPSET = 17;
const IR_VERSION = 8;

/**
 * @throws `unsupported-op` listing the operators without a rule, or naming an opset that is too old; `bad-model` for a loss or a
 * mask on a value that is not there; `bad-shape` for a mask that does not cover its axis
 */
export function maskGradientGraph({ graph, facts, pairs, loss }: MaskGradientRequest): MaskGradientGraph {
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
  const forward = maskForward(graph, facts, pairs);
  const logits = forward.masked(loss.output);
  const needed = withoutDeadCode({
    ...forward.graph,
    irVersion: Math.max(graph.irVersion, IR_VERSION),
    opsets: { ...graph.opsets, '': Math.max(opset, WRITTEN_OPSET) },
    outputs: [{ name: logits, dtype: 'float32', dims: [] }],
  });
  const lowered = foldNormalisations(needed, forward.facts);
  const build = createBuilder(lowered.graph, lowered.facts);
  const target = build.fresh('loss_target');
  const { sum, shape, gradient, target: input } = addLoss(build, loss.kind, logits, target);
  const backward = addBackward(build, {
    nodes: lowered.graph.nodes,
    seeds: new Map([[logits, gradient]]),
    wanted: forward.masks,
  });
  // A graph output must be a value of its own: two masks may well have the same gradient.
  const gradients = forward.masks.map((mask) =>
    build.output('mask_gradient', backward.get(mask) ?? zerosLike(build, mask)),
  );
  const total = build.output('loss', sum);
  const rows = build.output('loss_shape', shape);
  const outputs = gradients.map(
    (name, pair): ValueInfo => ({ name, dtype: 'float32', dims: [pairs[pair]?.units ?? 0] }),
  );
  const complete = build.graph([
    { name: total, dtype: 'float32', dims: [] },
    { name: rows, dtype: 'int64', dims: [2] },
    ...outputs,
  ]);
  return {
    graph: { ...complete, inputs: [...complete.inputs, input] },
    masks: forward.masks,
    target,
    shape: rows,
    loss: total,
    gradients,
  };
}
