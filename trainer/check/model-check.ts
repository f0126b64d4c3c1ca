/** "Will my model work?": holds the interpreter, the cutting and the mask gradients to onnxruntime, on random inputs. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { createInterpreter } from '../graph/interpret.ts';
import { ortModel } from '../graph/ort-model.ts';
import { relativeError } from '../graph/relative-error.ts';
import { isHost, type Value } from '../graph/value.ts';
import { cuttingError, randomKeep } from '../pairs/guard.ts';
import type { TracedModel } from '../pairs/prepare.ts';
import { createOrtSession } from '../runtime/ort-session.ts';
import { type FreeSizes, sampleInputs } from '../runtime/sample-inputs.ts';
import { gradientError } from './gradient-check.ts';

/** Largest relative errors that pass. Gradients are held to differences of float32 losses, which carry noise themselves. */
export const tolerances = { parity: 1e-4, cutting: 1e-4, gradient: 1e-2 } as const;

export interface ModelCheck {
  readonly parity: { readonly maxRelativeError: number };
  readonly cutting: { readonly patterns: number; readonly maxRelativeError: number };
  readonly gradient: { readonly checked: number; readonly maxRelativeError: number };
}

const PATTERNS = 5;

/**
 * @param original the graph of the file
 * @param model the same, prepared; a tfjs backend must have been started
 */
export async function checkModel(original: Graph, model: TracedModel): Promise<ModelCheck> {
  const [first, second] = model.sizes;
  const sizes = [first, second].filter((size) => size !== undefined);
  let parity = 0;
  for (const [seed, size] of sizes.entries())
    parity = Math.max(parity, await parityError(original, model.graph, size, seed));
  let cutting = 0;
  for (let step = 0; step < PATTERNS; step++) {
    const size = sizes[step % sizes.length] as FreeSizes;
    cutting = Math.max(cutting, await cuttingError(model, randomKeep(model.pairs, 31, step), size, step));
  }
  return {
    parity: { maxRelativeError: parity },
    cutting: { patterns: PATTERNS, maxRelativeError: cutting },
    gradient: await gradientError(model, sizes[0] as FreeSizes),
  };
}

/** In the order in which they are told. */
export const checkedParts = [
  'parity',
  'cutting',
  'gradient',
] as const satisfies readonly (keyof ModelCheck)[];

/** What is not within its tolerance, as an error that is no number; none where the model holds. */
export function failedParts(result: ModelCheck): (keyof ModelCheck)[] {
  return checkedParts.filter((part) => !(result[part].maxRelativeError <= tolerances[part]));
}

/** By onnxruntime, with one example where the file takes no more: its RotaryEmbedding refuses tables that stand for all examples. */
async function referenceRun(original: Graph, size: FreeSizes, seed: number) {
  const session = await createOrtSession(ortModel(original));
  const run = async (at: FreeSizes) => {
    const feeds = sampleInputs(original, at, seed);
    return { feeds, expected: await session.run(feeds) };
  };
  try {
    return await run(size).catch(() => run({ ...size, batch: 1 }));
  } finally {
    await session.close();
  }
}

/** The file's graph in onnxruntime against the prepared one in the interpreter. */
async function parityError(original: Graph, graph: Graph, size: FreeSizes, seed: number): Promise<number> {
  const { feeds, expected } = await referenceRun(original, size, 101 + seed);
  refuseNonsense(expected);
  const interpreter = createInterpreter(graph);
  try {
    return tf.tidy(() => {
      const found = interpreter.run(feeds);
      const errors = graph.outputs.map(({ name }, i) => {
        const value = found[i];
        const reference = expected[name];
        return value && reference ? relativeError(read(value), reference.data).relative : Infinity;
      });
      return Math.max(...errors);
    });
  } finally {
    interpreter.dispose();
  }
}

/** Not a number agrees with not a number, whatever is computed: such answers would pass every comparison; infinite ones pass none. */
function refuseNonsense(answers: Readonly<Record<string, Tensor>>): void {
  const broken = Object.entries(answers).find(
    ([, { data }]) =>
      data.length > 0 && !data.some((value: number | bigint) => Number.isFinite(Number(value))),
  );
  if (broken === undefined) return;
  throw new SppError(
    'numerical-failure',
    `onnxruntime gives no finite number at all in the output ${broken[0]}.`,
    {
      hint: 'Check the weights of the model: some may be NaN, or far too large.',
    },
  );
}

function read(value: Value): ArrayLike<number | bigint> {
  return isHost(value) ? value.data : value.dataSync();
}
