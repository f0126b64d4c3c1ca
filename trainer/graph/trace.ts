/**
 * Shape inference by execution: the graph runs in onnxruntime, unoptimised and without its matrices (see shape-probe.ts).
 * Running it at several sizes shows which dimensions are free and which are fixed, for every operator that onnxruntime knows.
 */
import { SppError } from '../../schema/errors.ts';
import { hasOpenSides, likelySides } from '../runtime/image-inputs.ts';
import { type FreeSizes, sampleInputs, takesCaches } from '../runtime/sample-inputs.ts';
import { type Graph, type GraphNode, intsAttribute, type Tensor } from './graph.ts';
import { resolveOps } from './ops/index.ts';
import { openProbe } from './shape-probe.ts';
import type { Trace, Traces } from './traces.ts';
import { canUnfuse } from './unfuse/unfuse.ts';

/**
 * Lengths of the free dimensions, tried in order until the model runs: three for traces, so that padding to windows or patches is
 * not the same at all of them, and one that checks what was concluded. Later entries suit models that take lengths in steps only.
 */
const LENGTHS = [
  [7, 12, 10, 9],
  [8, 20, 14, 12],
  [16, 48, 64, 32],
  [64, 160, 224, 96],
  [224, 320, 384, 256],
] as const;
/** Of lines of text, most usual first. */
const HEIGHTS = [48, 32, 64] as const;
const WIDTHS = LENGTHS[3];
const BATCHES = [2, 3, 2] as const;
const UNSEEN_BATCH = 4;

/** Of the free dimensions, in one model. */
export interface TraceSizes {
  /** Two that differ in batch and length, one with batch 1, for which FLOPs are counted. */
  readonly traced: readonly [FreeSizes, FreeSizes, FreeSizes];
  readonly unseen: FreeSizes;
}

interface Traced {
  readonly traces: Traces;
  readonly sizes: TraceSizes;
}

/** Lengths to try, whether they are those of earlier and of new positions, and the one side or height of images. */
interface Attempt {
  readonly lengths: (typeof LENGTHS)[number];
  readonly fixed: { readonly cached?: true; readonly side?: number; readonly height?: number };
}

function attemptsFor(graph: Graph): Attempt[] {
  const tried = hasFreeLength(graph) ? LENGTHS : LENGTHS.slice(0, 1);
  const plain = tried.map((lengths) => ({ lengths, fixed: {} }));
  const caches = takesCaches(graph)
    ? LENGTHS.map((lengths) => ({ lengths, fixed: { cached: true } as const }))
    : [];
  // A table of positions may leave one size of images only, whatever the file says of them.
  const sides = likelySides(graph).flatMap((side) =>
    LENGTHS.slice(0, 2).map((lengths) => ({ lengths, fixed: { side } })),
  );
  // Images of lines of text have one height, whatever the file says, and any width.
  const lines = hasOpenSides(graph) ? HEIGHTS.map((height) => ({ lengths: WIDTHS, fixed: { height } })) : [];
  return [...plain, ...caches, ...lines, ...sides];
}

function sizesOf({ lengths: [first, second, , unseen], fixed }: Attempt): TraceSizes {
  return {
    traced: [
      { batch: BATCHES[0], length: first, ...fixed },
      { batch: BATCHES[1], length: second, ...fixed },
      { batch: 1, length: first, ...fixed },
    ],
    unseen: { batch: UNSEEN_BATCH, length: unseen, ...fixed },
  };
}

/**
 * @param keep whose contents to keep
 * @returns the traces, and the sizes that the model accepted
 * @throws `bad-model` when onnxruntime does not load it, or runs it at none; `unsupported-op` where operators are why
 */
export async function traceGraph(
  graph: Graph,
  source: string,
  keep: (value: string) => boolean,
): Promise<Traced> {
  const probe = await openProbe(graph, keep).catch((cause: Error) => {
    // onnxruntime names the first operator that it does not know, and not where it stands.
    resolveOps({ ...graph, nodes: graph.nodes.filter((node) => !canUnfuse(node)) });
    throw new SppError('bad-model', `${source}: ${cause.message}`, {
      hint: 'Export the model again; operators of runtimes other than onnxruntime cannot be run here.',
      cause,
    });
  });
  let failure: unknown;
  let indistinct: Traced | undefined;
  try {
    const free = hasFreeLength(graph);
    for (const attempt of attemptsFor(graph)) {
      try {
        const sizes = sizesOf(attempt);
        const [first, second, single] = sizes.traced;
        const run = (sizes: FreeSizes, seed: number) => probe.run(sampleInputs(graph, sizes, seed));
        const traces = [await run(first, 1), await run(second, 2), await run(single, 3)] as const;
        // Position tables may end before the third length.
        const third = { batch: BATCHES[2], length: attempt.lengths[2], ...attempt.fixed };
        const more = free ? await run(third, 4).catch(() => undefined) : undefined;
        const traced: Traced = { traces: more ? [...traces, more] : traces, sizes };
        if (isDistinct(graph, traced.traces, attempt)) return traced;
        indistinct ??= traced;
      } catch (error) {
        failure = error;
      }
    }
  } finally {
    await probe.close();
  }
  if (indistinct) return indistinct;
  throw new SppError(
    'bad-model',
    `${source} does not run on random inputs: ${failure instanceof Error ? failure.message : String(failure)}`,
    {
      hint: 'Inputs may be of any batch size and length that their shapes leave open; export with the dimensions fixed that are not free.',
      cause: failure,
    },
  );
}

/** Operators that may shorten what they slide over. */
const SLIDING = new Set(['Conv', 'MaxPool', 'AveragePool', 'LpPool']);

/**
 * Whether lengths can be told apart behind all that shortens them: images and sequences that are halved more often than they are long
 * end as nothing, or as one pixel whatever they were, and what is free would be taken for fixed. Of windows that are larger than what is
 * left, runtimes make other sizes and numbers.
 */
function isDistinct(graph: Graph, traces: Traces, { fixed }: Attempt): boolean {
  const [{ dims, dtypes }] = traces;
  for (const [value, lengths] of dims)
    if (dtypes.get(value) === 'float32' && lengths.includes(0)) return false;
  const oneSize = fixed.side !== undefined || !hasFreeLength(graph);
  return !graph.nodes.some((node) => {
    const [input = ''] = node.inputs;
    const [output = ''] = node.outputs;
    if (!SLIDING.has(node.opType)) return false;
    const windows = windowsOf(node, dims);
    return windows.some((window, i) => {
      const axis = i + 2;
      const isOneLength = !oneSize && fixedLength(traces, output, axis) !== undefined;
      if (isOneLength && fixedLength(traces, input, axis) === undefined) return true;
      const added = (intsAttribute(node, 'pads') ?? []).filter((_, at) => at % windows.length === i);
      const pads = added.reduce((a, b) => a + b, 0);
      return traces.some((trace) => (trace.dims.get(input)?.[axis] ?? window) + pads < window);
    });
  });
}

/** Lengths that an operator's window covers, an axis. */
function windowsOf(node: GraphNode, dims: Trace['dims']): number[] {
  const kernel = intsAttribute(node, 'kernel_shape') ?? dims.get(node.inputs[1] ?? '')?.slice(2) ?? [];
  const dilations = intsAttribute(node, 'dilations');
  return kernel.map((length, i) => (length - 1) * (dilations?.[i] ?? 1) + 1);
}

/** Length of a value's axis where it is the same in all traces. */
export function fixedLength(traces: Traces, value: string, axis: number): number | undefined {
  const [first, ...others] = traces.map(({ dims }) => dims.get(value)?.[axis]);
  return others.every((length) => length === first) ? first : undefined;
}

/**
 * One more run of a graph that is known to run at this size, for the shapes of values that a pass has added.
 * @param given inputs that are not drawn
 */
export async function traceOnce(
  graph: Graph,
  size: FreeSizes,
  given: Readonly<Record<string, Tensor>> = {},
): Promise<Trace> {
  const probe = await openProbe(graph, () => false);
  return probe.run({ ...sampleInputs(graph, size, 1), ...given }).finally(() => probe.close());
}

/**
 * Runs of single examples at two lengths, for graphs that onnxruntime runs at no other batch: its RotaryEmbedding refuses tables
 * [1, length, half] that stand for every example, as torch.onnx writes them.
 * @returns none where it runs at no length either
 */
export async function traceSingles(graph: Graph): Promise<readonly Trace[]> {
  for (const { lengths, fixed } of attemptsFor(graph)) {
    try {
      const traces: Trace[] = [];
      for (const length of lengths.slice(0, 2))
        traces.push(await traceOnce(graph, { batch: 1, length, ...fixed }));
      return traces;
    } catch {
      // The next lengths may suit.
    }
  }
  return [];
}

function hasFreeLength(graph: Graph): boolean {
  return graph.inputs.some(({ dims }) => dims.some((dim, axis) => axis > 0 && typeof dim === 'string'));
}
