/** What an operator is to the interpreter: one small function per version of its specification. */
import { SppError } from '../../../schema/errors.ts';
import type { GraphNode } from '../graph.ts';
import { isFloat, isHost, toHost, type Value } from '../value.ts';

export interface OpCall {
  readonly node: GraphNode;
  readonly opset: number;
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Value | undefined)[];
  /** For each input: does a gradient that someone wants flow through it? Constants are then closed over, not differentiated. */
  readonly gradient: readonly boolean[];
}

export type Evaluate = (call: OpCall) => Value | readonly Value[];

export interface OpVersion {
  /** First opset with this meaning. */
  readonly since: number;
  readonly evaluate: Evaluate;
  /** What of this node is not supported, if anything; asked once, when the graph is loaded. */
  readonly unsupported?: (node: GraphNode) => string | undefined;
}

/** Keyed by op type, with the domain in front (`com.microsoft.Gelu`) where it is not ONNX's own; versions in ascending order. */
export type OpTable = Readonly<Record<string, readonly OpVersion[]>>;

/** An operator whose meaning never changed. */
export function always(evaluate: Evaluate, unsupported?: OpVersion['unsupported']): readonly OpVersion[] {
  return [unsupported ? { since: 1, evaluate, unsupported } : { since: 1, evaluate }];
}

/**
 * The input at `index`.
 * @throws `bad-model` when the node lacks it
 */
export function input(call: OpCall, index: number): Value {
  const value = call.inputs[index];
  if (value !== undefined) return value;
  throw new SppError('bad-model', `Node ${call.node.name} (${call.node.opType}) lacks its input ${index}.`, {
    hint: 'Export the model again and check it with onnx.checker.check_model.',
  });
}

/**
 * An input as plain numbers, whatever its shape; undefined when absent.
 * @throws `unsupported-op` where a gradient is wanted of it, which would be lost
 */
export function numbers(call: OpCall, index: number): number[] | undefined {
  const value = call.inputs[index];
  if (value === undefined) return undefined;
  if (call.gradient[index] && !isHost(value) && isFloat(value)) throw readsOnly(call, index);
  return Array.from(toHost(value).data);
}

/** A required input as plain numbers. @throws as `numbers` */
export function requiredNumbers(call: OpCall, index: number): number[] {
  input(call, index);
  return numbers(call, index) ?? [];
}

function readsOnly({ node }: OpCall, index: number): SppError {
  return new SppError(
    'unsupported-op',
    `Node ${node.name} (${node.opType}) has no gradient by its input ${index} in TensorFlow.js.`,
    {
      hint: 'onnxruntime may have it: try --backend onnxruntime. Else leave what computes the input untrained.',
    },
  );
}
