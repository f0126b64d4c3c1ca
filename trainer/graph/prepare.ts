/** The file's graph in the one plain form that pair finding works on; equal in function, checked at several sizes. */
import { SppError } from '../../schema/errors.ts';
import { computeThreads } from '../runtime/compute.ts';
import { withSides } from '../runtime/image-inputs.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { expressed } from './expressed.ts';
import { DRAWS_RANDOMLY, foldConstants, shapeOnlyValues } from './fold.ts';
import { foldBatchNorms } from './fold-batch-norm.ts';
import { foldTurnedWeights } from './fold-turned.ts';
import type { Graph, Tensor } from './graph.ts';
import { joinSoftmax } from './join-softmax.ts';
import { mergeEqualMatrices } from './merge-equal.ts';
import { mergeRepeats } from './merge-repeats.ts';
import { ortModel } from './ort-model.ts';
import { type Chosen, writePlainly } from './plain/index.ts';
import { raiseOpset } from './raise-opset.ts';
import { relativeError } from './relative-error.ts';
import { settleBranches } from './settle-branches.ts';
import { normaliseShapes } from './shape-arguments.ts';
import { readShapesDirectly } from './shape-reads.ts';
import { splitFusedLinears } from './split-fused.ts';
import { type StandIns, standIns } from './stand-in.ts';
import { type TraceSizes, traceGraph, traceOnce, traceSingles } from './trace.ts';
import type { Traces } from './traces.ts';
import { isFused, unfuse } from './unfuse/unfuse.ts';
import { joinWindowWrites } from './window-writes.ts';

/** A graph without constants to be computed and shape arithmetic, and where it came from. */
export interface SimplifiedGraph {
  readonly original: Graph;
  readonly graph: Graph;
  readonly traces: Traces;
  readonly sizes: TraceSizes;
  /** For weights that lie in files; absent where there are none. */
  readonly standIns: StandIns | undefined;
}

export interface PreparedGraph {
  readonly graph: Graph;
  readonly traces: Traces;
  readonly sizes: readonly FreeSizes[];
  /** Names of the nodes that were written plainly; the new ones are called after them. */
  readonly replaced: readonly string[];
}

/** Float rounding of reordered sums; anything structural is off by far more. */
const TOLERANCE = 1e-4;
/** Of one example all may be next to nothing, as the chances that a detector gives to an empty image: only rounding is left of those. */
const ROUNDED_AWAY = 1e-6;
/** Splits within splits: query-key from value, then query from key. */
const MOST_SPLITS = 4;

/**
 * @param chosen nodes to write plainly, see plain/
 * @throws `bad-model` when the graph does not run, or the prepared one answers differently
 */
export async function prepareGraph(
  original: Graph,
  source: string,
  chosen: Chosen = new Set(),
): Promise<PreparedGraph> {
  const simplified = await simplifyGraph(original, source);
  const prepared = await spellOut(simplified, source, chosen);
  await checkEqual(simplified, prepared.graph, source);
  return prepared;
}

/** @throws `bad-model` when the graph does not run, or draws random numbers */
export async function simplifyGraph(original: Graph, source: string): Promise<SimplifiedGraph> {
  refuseRandom(original, source);
  const unfused = foldTurnedWeights(await inPlainOperators(original, source));
  const fixed = shapeOnlyValues(unfused);
  const { traces, sizes } = await traceGraph(unfused, source, (value) => fixed.has(value));
  const [{ dims }] = traces;
  const raised = raiseOpset(foldConstants(unfused, traces), traces);
  const joined = joinSoftmax(joinWindowWrites(raised, traces), traces);
  const direct = readShapesDirectly(joined, (value) => dims.get(value)?.[0]);
  const folded = mergeEqualMatrices(direct);
  const plain = foldBatchNorms(normaliseShapes(folded, traces), traces[2]);
  const [{ side }] = sizes.traced;
  const graph = side === undefined ? plain : withSides(plain, side);
  return { original, graph, traces, sizes, standIns: standIns(original) };
}

/**
 * The graph with its Ifs decided and fused operators taken apart.
 * @throws `unsupported-op` for an If that cannot be decided
 */
export async function inPlainOperators(original: Graph, source: string): Promise<Graph> {
  return withoutFusions(await settleBranches(original, source), source);
}

/** Ranks and fixed lengths, which some operators are taken apart by, are those of one more trace. */
async function withoutFusions(original: Graph, source: string): Promise<Graph> {
  if (!isFused(original)) return original;
  const { traces } = await traceGraph(original, source, () => false).catch(async (refusal: unknown) => {
    const singles = await traceSingles(original);
    if (singles.length === 0) throw refusal;
    return { traces: singles };
  });
  return mergeRepeats(unfuse(original, traces));
}

/** Writes the chosen nodes plainly and takes fused linears apart. Not yet held to the original: see `checkEqual`. */
export async function spellOut(
  { graph: simplified, traces: known, sizes }: SimplifiedGraph,
  source: string,
  chosen: Chosen,
): Promise<PreparedGraph> {
  const { graph: written, replaced } = writePlainly(simplified, known, chosen);
  const [, , single] = sizes.traced;
  let graph = written;
  for (let pass = 0; pass < MOST_SPLITS; pass++) {
    const split = splitFusedLinears(graph, await traceOnce(graph, single));
    if (split === graph) break;
    graph = split;
  }
  const { traces } = await traceGraph(graph, source, () => false);
  return { graph, traces, sizes: sizes.traced, replaced };
}

function refuseRandom({ nodes }: Graph, source: string): void {
  const node = nodes.find(({ opType }) => DRAWS_RANDOMLY.test(opType));
  if (node)
    throw new SppError(
      'bad-model',
      `${source}: node ${node.name} (${node.opType}) draws random numbers, so that no two runs answer alike.`,
      { hint: 'Export the model in eval mode, with what is random in it as an input or left out.' },
    );
}

/**
 * Holds a prepared graph to the original, also at a size that no trace has seen: with stand-ins for large weights, and with the weights
 * themselves where those show a difference or no numbers.
 * @returns whether the stand-ins served
 * @throws `bad-model` when they differ
 */
export async function checkEqual(
  simplified: SimplifiedGraph,
  prepared: Graph,
  source: string,
): Promise<boolean> {
  const { original, standIns: stood, sizes } = simplified;
  if (stood) {
    const served = await compareAnswers(stood(original), stood(prepared), sizes, source, refuseNothing).then(
      () => true,
      () => false,
    );
    if (served) return true;
  }
  await compareAnswers(original, prepared, sizes, source, () => undefined);
  return false;
}

/**
 * Holds a prepared graph to the original on an example of the data, which may be of sizes that no trace has seen.
 * @param first what makes more of the failure of the original, which is the model's or the data's
 * @throws `bad-model` when they differ
 */
export async function checkEqualOn(
  feeds: Readonly<Record<string, Tensor>>,
  original: Graph,
  prepared: Graph,
  { source, first }: { readonly source: string; readonly first: <T>(run: () => Promise<T>) => Promise<T> },
): Promise<void> {
  const stood = standIns(original);
  const [whole, simple] = stood ? [stood(original), stood(prepared)] : [original, prepared];
  const [expected] = await first(() => answers(whole, [feeds], (failure) => Promise.reject(failure)));
  const [actual] = await answers(simple, [feeds], (cause) =>
    Promise.reject(
      new SppError(
        'bad-model',
        `${source} could not be simplified for examples of the data's size: ${cause.message}`,
        { hint: 'Export the model with the sizes of the data fixed, all but the batch.', cause },
      ),
    ),
  );
  compare(expected ?? {}, actual ?? {}, source, ROUNDED_AWAY);
}

type Answer = Readonly<Record<string, Tensor>>;

/** What is no number is equal to itself, whatever was computed. */
function refuseNothing(values: Answer): void {
  for (const [name, { data }] of Object.entries(values))
    if (data.some((value) => Number.isNaN(Number(value))))
      throw new SppError('internal', `The output ${name} is no number.`);
}

async function compareAnswers(
  original: Graph,
  prepared: Graph,
  sizes: TraceSizes,
  source: string,
  refuse: (values: Answer) => void,
): Promise<void> {
  const {
    traced: [, , single],
    unseen,
  } = sizes;
  // A size that no trace has seen shows a free dimension that was taken for another one.
  const tried = [single, unseen].map((size, seed) => sampleInputs(original, size, seed + 11));
  // One after the other: each may hold a large model's weights.
  const expected = await answers(original, tried, async (failure, i) => {
    if (i === 0) throw failure;
    return undefined; // a length that the model itself does not take
  });
  const asked = tried.filter((_, i) => expected[i] !== undefined);
  const actual = await answers(prepared, asked, (failure) => Promise.reject(failure));
  const known = expected.filter((values) => values !== undefined);
  for (const [i, values] of known.entries()) {
    refuse(values);
    compare(values, actual[i] ?? {}, source);
  }
}

/** The outputs for each of the inputs, or what is made of a failure. */
async function answers(
  graph: Graph,
  inputs: readonly Record<string, Tensor>[],
  failed: (failure: Error, index: number) => Promise<undefined>,
): Promise<(Record<string, Tensor> | undefined)[]> {
  const session = await createOrtSession(ortModel(expressed(graph)), {
    optimise: false,
    threads: computeThreads(),
  });
  try {
    const all: (Record<string, Tensor> | undefined)[] = [];
    for (const [i, feeds] of inputs.entries())
      all.push(await session.run(feeds).catch((failure: Error) => failed(failure, i)));
    return all;
  } finally {
    await session.close();
  }
}

/** @param ignored difference that is none, however small the output is */
function compare(
  expected: Record<string, Tensor>,
  actual: Record<string, Tensor>,
  source: string,
  ignored = 0,
): void {
  for (const [name, tensor] of Object.entries(expected)) {
    const error = relativeError(actual[name]?.data ?? [], tensor.data);
    const isIgnored = Math.abs(error.actual - error.expected) <= ignored;
    if (error.relative > TOLERANCE && !isIgnored)
      throw new SppError(
        'bad-model',
        `${source} could not be simplified: its output ${name} then differs by ${error.relative.toExponential(1)}.`,
        {
          hint: 'Its shapes depend on more than the input sizes; export with fixed dimensions other than the batch.',
        },
      );
  }
}
