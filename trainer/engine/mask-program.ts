/** One thread's share of the engine: a graph with mask sites on a started backend, from a shard to sums of loss and gradients. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { createInterpreter, type Interpreter } from '../graph/interpret.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { resolveOps } from '../graph/ops/index.ts';
import { toDevice } from '../graph/value.ts';
import { lossSum } from './loss.ts';
import type { Shard } from './shard.ts';

export interface ShardSums {
  readonly loss: number;
  /** Rows that the loss is a sum over. */
  readonly rows: number;
  /** d loss / d mask, [units] per pair. */
  readonly gradients: Float32Array[];
}

export interface MaskProgram {
  /** @throws what the interpreter and the loss throw */
  run(shard: Shard, masks: readonly Float32Array[]): ShardSums;
  dispose(): void;
}

/**
 * @param sites the mask sites of each pair
 * @throws `unsupported-op` listing all operators that are missing
 */
export function createMaskProgram(graph: Graph, sites: readonly (readonly MaskedAxis[])[]): MaskProgram {
  // Operators are checked now; the program itself waits until a step says which output it wants.
  resolveOps(graph);
  const programs = new Map<string, Interpreter>();
  const programFor = (output: string): Interpreter => {
    const known = programs.get(output);
    if (known) return known;
    const made = createInterpreter(graph, { outputs: [output], maskSites: sites });
    programs.set(output, made);
    return made;
  };
  return {
    run({ feeds, loss }, masks) {
      const program = programFor(loss.output);
      // Read inside the tidy: reading starts no computation that could outlive it.
      let sums: ShardSums | undefined;
      tf.tidy(() => {
        let rows = 0;
        const forward = (...inputs: tf.Tensor[]) => {
          const [logits] = program.run(feeds, inputs as tf.Tensor1D[]);
          if (logits === undefined)
            throw new SppError('bad-model', `The graph has no output ${loss.output}.`);
          const target = lossSum(toDevice(logits), loss);
          rows = target.rows;
          return target.sum;
        };
        const { value, grads } = tf.valueAndGrads(forward)(masks.map((mask) => tf.tensor1d(mask)));
        sums = {
          loss: value.dataSync()[0] as number,
          rows,
          gradients: grads.map((gradient) => Float32Array.from(gradient.dataSync())),
        };
      });
      return sums as unknown as ShardSums;
    },
    dispose() {
      for (const program of programs.values()) program.dispose();
      programs.clear();
    },
  };
}
