/** One thread's share of the tfjs engine: a graph on a started backend, from shards to sums of loss and gradients. */
import * as tf from '@tensorflow/tfjs-core';
import { SppError } from '../../schema/errors.ts';
import type { Graph } from '../graph/graph.ts';
import { createInterpreter, type Interpreter } from '../graph/interpret.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import { resolveOps } from '../graph/ops/index.ts';
import { toDevice } from '../graph/value.ts';
import type { ShardSums } from './lane.ts';
import { lossSum } from './loss.ts';
import type { Shard } from './shard.ts';

export interface TfjsProgramOptions {
  /** The mask sites of each pair. */
  readonly sites: readonly (readonly MaskedAxis[])[];
  /** Are the masks' gradients wanted? True by default. */
  readonly maskGradients?: boolean;
  /** float32 initializers whose gradients are wanted. */
  readonly weights?: readonly string[];
}

/** By weight: what is read, and what gradients are added to. */
export interface WeightArrays {
  readonly values: readonly Float32Array[];
  readonly gradients: readonly Float32Array[];
}

export interface TfjsProgram {
  /** @throws what the interpreter and the loss throw */
  run(shard: Shard, masks: readonly Float32Array[], weights?: WeightArrays): ShardSums;
  dispose(): void;
}

/** @throws `unsupported-op` listing all operators that are missing */
export function createTfjsProgram(
  graph: Graph,
  { sites, maskGradients = true, weights: names = [] }: TfjsProgramOptions,
): TfjsProgram {
  // Operators are checked now; the program itself waits until a step says which output it wants.
  resolveOps(graph);
  const shapes = names.map((name) => [...(graph.initializers.get(name)?.dims ?? [])]);
  const programs = new Map<string, Interpreter>();
  const programFor = (output: string): Interpreter => {
    const known = programs.get(output);
    if (known) return known;
    const made = createInterpreter(graph, { outputs: [output], maskSites: sites, variables: names });
    programs.set(output, made);
    return made;
  };
  return {
    run({ feeds, loss }, masks, weights = { values: [], gradients: [] }) {
      const program = programFor(loss.output);
      // Read inside the tidy: reading starts no computation that could outlive it.
      let sums: ShardSums | undefined;
      tf.tidy(() => {
        let rows = 0;
        const given = masks.map((mask) => tf.tensor1d(mask));
        const variables = weights.values.map((data, i) => tf.tensor(data, shapes[i] as number[], 'float32'));
        const forward = (...inputs: tf.Tensor[]) => {
          const own = (maskGradients ? inputs.slice(0, given.length) : given) as tf.Tensor1D[];
          const [logits] = program.run(feeds, own, inputs.slice(inputs.length - variables.length));
          if (logits === undefined)
            throw new SppError('bad-model', `The graph has no output ${loss.output}.`);
          const target = lossSum(toDevice(logits), loss);
          rows = target.rows;
          return target.sum;
        };
        const wanted = [...(maskGradients ? given : []), ...variables];
        const { value, grads } = tf.valueAndGrads(forward)(wanted);
        const gradients = grads.map((gradient) => gradient.dataSync() as Float32Array);
        for (const [i, total] of weights.gradients.entries())
          addTo(total, gradients[wanted.length - variables.length + i] as Float32Array);
        sums = {
          loss: value.dataSync()[0] as number,
          rows,
          gradients: maskGradients ? gradients.slice(0, given.length).map((g) => Float32Array.from(g)) : [],
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

function addTo(total: Float32Array, more: Float32Array): void {
  for (let i = 0; i < total.length; i++) total[i] = (total[i] as number) + (more[i] as number);
}
