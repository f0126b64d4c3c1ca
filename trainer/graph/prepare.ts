/** The file's graph in the one plain form that pair finding works on; equal in function, checked at several sizes. */
import { SppError } from '../../schema/errors.ts';
import { allCores, createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { foldConstants, shapeOnlyValues } from './fold.ts';
import type { Graph, Tensor } from './graph.ts';
import { writeOnnx } from './onnx-file.ts';
import { relativeError } from './relative-error.ts';
import { normaliseShapes } from './shape-arguments.ts';
import { splitFusedLinears } from './split-fused.ts';
import { type TraceSizes, type Traces, traceGraph, traceOnce } from './trace.ts';

export interface PreparedGraph {
  readonly graph: Graph;
  readonly traces: Traces;
  readonly sizes: readonly FreeSizes[];
}

/** Float rounding of reordered sums; anything structural is off by far more. */
const TOLERANCE = 1e-4;
/** Splits within splits: query-key from value, then query from key. */
const MOST_SPLITS = 4;

/** @throws `bad-model` when the graph does not run, or the prepared one answers differently */
export async function prepareGraph(original: Graph, source: string): Promise<PreparedGraph> {
  const fixed = shapeOnlyValues(original);
  const first = await traceGraph(original, source, (value) => fixed.has(value));
  let graph = normaliseShapes(foldConstants(original, first.traces), first.traces);
  const [, , single] = first.sizes.traced;
  for (let pass = 0; pass < MOST_SPLITS; pass++) {
    const split = splitFusedLinears(graph, await traceOnce(graph, single));
    if (split === graph) break;
    graph = split;
  }
  const { traces } = await traceGraph(graph, source, () => false);
  await checkEqual(original, graph, source, first.sizes);
  return { graph, traces, sizes: first.sizes.traced };
}

async function checkEqual(
  original: Graph,
  prepared: Graph,
  source: string,
  { traced: [, , single], unseen }: TraceSizes,
): Promise<void> {
  const [before, after] = await Promise.all(
    [original, prepared].map((graph) =>
      createOrtSession(writeOnnx(graph), { optimise: false, threads: allCores }),
    ),
  );
  if (!before || !after) return;
  try {
    // A size that no trace has seen shows a free dimension that was taken for another one.
    for (const [seed, size] of [single, unseen].entries()) {
      const inputs = sampleInputs(original, size, seed + 11);
      const expected = await before.run(inputs).catch((error: unknown) => {
        if (size === unseen) return undefined; // a length that the model itself does not take
        throw error;
      });
      if (expected) compare(expected, await after.run(inputs), source);
    }
  } finally {
    await before.close();
    await after.close();
  }
}

function compare(expected: Record<string, Tensor>, actual: Record<string, Tensor>, source: string): void {
  for (const [name, tensor] of Object.entries(expected)) {
    const { relative } = relativeError(actual[name]?.data ?? [], tensor.data);
    if (relative > TOLERANCE)
      throw new SppError(
        'bad-model',
        `${source} could not be simplified: its output ${name} then differs by ${relative.toExponential(1)}.`,
        {
          hint: 'Its shapes depend on more than the input sizes; export with fixed dimensions other than the batch.',
        },
      );
  }
}
