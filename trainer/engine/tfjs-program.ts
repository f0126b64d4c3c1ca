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
  run(shard: Shard, masks: readonly Float32Array[], weights?: WeightArrays): Promise<ShardSums>;
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
    async run({ feeds, loss }, masks, weights = { values: [], gradients: [] }) {
      const program = programFor(loss.output);
      let rows = 0;
      const [value, ...gradients] = tf.tidy(() => {
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
        const result = tf.valueAndGrads(forward)([...(maskGradients ? given : []), ...variables]);
        return [result.value, ...result.grads];
      }) as [tf.Tensor, ...tf.Tensor[]];
      // GPUs answer later; to read at once they have no way.
      const [sum, ...read] = (await Promise.all([value, ...gradients].map((tensor) => tensor.data()))) as [
        Float32Array,
        ...Float32Array[],
      ];
      tf.dispose([value, ...gradients]);
      const first = read.length - weights.values.length;
      for (const [i, total] of weights.gradients.entries()) addTo(total, read[first + i] as Float32Array);
      const own = read.slice(0, first).map((gradient) => Float32Array.from(gradient));
      return { loss: sum[0] as number, rows, gradients: own };
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
