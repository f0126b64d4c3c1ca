/** Where onnxruntime has no gradient of an operator: whether TensorFlow.js has it. */
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { resolveOps } from '../graph/ops/index.ts';

/** The same failure with the way out that there is. */
export function sayingWhoElse(failure: unknown, graph: Graph): unknown {
  if (!(failure instanceof SppError) || failure.code !== 'unsupported-op') return failure;
  const { code, message, details } = failure;
  if (details?.missing === undefined) return failure;
  return new SppError(code, message, { hint: wayOut(graph), details, cause: failure });
}

function wayOut(graph: Graph): string {
  try {
    resolveOps(graph);
    return 'TensorFlow.js has it: use --backend tfjs.';
  } catch (other) {
    return `TensorFlow.js does not run the model either: ${(other as Error).message}`;
  }
}
