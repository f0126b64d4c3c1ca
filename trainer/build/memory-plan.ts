/**
 * What a build may hold in memory, and what of it is chosen so that it does. A model over 2 GB is built within twice its weights: they
 * are mapped once, which leaves as much again for all the rest. Pure: sizes in bytes go in, choices and what is said of them come out.
 */
import type { RecoveryPlan } from '../recovery/plan.ts';

/** As much as a protobuf holds: beyond, weights lie beside the graph. */
const LARGE_BYTES = 2e9;
/** Of the weights, what the build of a large model may take. */
const LARGE_SHARE = 2;
/** Of the machine's memory, what any build may take. */
const MACHINE_SHARE = 0.75;
/** Of it, what tensors that levels own may take, with moments and gradients. */
const OWN_SHARE = 0.25;
/** Node and onnxruntime, the cache of weights, data. */
const RUNTIME_BYTES = 2 ** 29;
/** A step's activations, and what is computed from them on the way back. */
const STEP_COPIES = 1.5;

export interface BuildSizes {
  readonly weights: number;
  /** Of what recovery trains, by what it is asked to train. */
  readonly trainable: Readonly<Record<'all' | 'pairs', number>>;
  /** Of those, what levels own, all levels together. */
  readonly own: Readonly<Record<'all' | 'pairs', number>>;
  /** Of that, what levels own that own all. */
  readonly ownAll: Readonly<Record<'all' | 'pairs', number>>;
  /** All values of one example; undefined where not known. */
  readonly activations?: number | undefined;
  readonly workers: number;
  readonly machine: number;
}

export interface PlanRequest {
  readonly recovers: boolean;
  readonly compensates: boolean;
  /** `auto`: what fits. */
  readonly train: RecoveryPlan['train'] | 'auto';
  /** Examples that a worker computes at once on this backend where nothing else is said. */
  readonly microBatch: number;
}

export interface MemoryPlan {
  readonly budget: number;
  readonly train: RecoveryPlan['train'];
  /** Whether levels own tensors that recovery trains; else one nested set is. */
  readonly byLevel: boolean;
  /** Whether levels that own all may be trained from two beginnings at once. */
  readonly twoBeginnings: boolean;
  /** Examples that a worker computes at once; undefined: as many as the backend does. */
  readonly microBatch: number | undefined;
  /** For people: what was chosen because of memory, and how to have it otherwise. */
  readonly notes: readonly string[];
}

/** Whether a model is built within a budget of its own. @param weights in bytes */
export function isLarge(weights: number): boolean {
  return weights > LARGE_BYTES;
}

/** What is trained, whether levels own it, and how many examples are computed at once, so that all of it fits. */
export function planMemory(sizes: BuildSizes, request: PlanRequest): MemoryPlan {
  const { weights, machine, activations, workers } = sizes;
  const most = MACHINE_SHARE * machine;
  const budget = isLarge(weights) ? Math.min(LARGE_SHARE * weights, most) : most;
  const room = Math.max(0, budget - weights - RUNTIME_BYTES);
  const recovery = recoveryIn(room, sizes, request);
  const fitting =
    isLarge(weights) && activations !== undefined
      ? Math.max(1, Math.floor(room / (workers * STEP_COPIES * activations)))
      : undefined;
  const isFewer = fitting !== undefined && fitting < request.microBatch;
  const notes = [
    ...(isLarge(weights)
      ? [`memory: ${gib(weights)} of weights are mapped; the build is to stay below ${gib(budget)}`]
      : []),
    ...recovery.notes,
    ...(isFewer ? [`memory: a worker computes ${fitting} of a step's examples at once`] : []),
  ];
  return { budget, ...recovery, microBatch: isFewer ? fitting : undefined, notes };
}

/** By level where that fits, else one nested set, else scales and biases alone, by level again. */
function recoveryIn(
  room: number,
  sizes: BuildSizes,
  { recovers, compensates, train: asked }: PlanRequest,
): Pick<MemoryPlan, 'train' | 'byLevel' | 'twoBeginnings' | 'notes'> {
  const one = { twoBeginnings: false };
  if (asked === 'vectors') return { ...one, train: 'vectors', byLevel: true, notes: [] };
  const train = asked === 'auto' ? 'all' : asked;
  const fits = (own: number) => own <= OWN_SHARE * sizes.machine && own + stepBytes(sizes, train) <= room;
  const own = ownBytes(sizes.own[train]);
  if (compensates && fits(own)) {
    const twoBeginnings = fits(own + ownBytes(sizes.ownAll[train]));
    return { train, byLevel: true, twoBeginnings, notes: [] };
  }
  const needed = nestedBytes(sizes, train);
  if (!recovers || needed <= room) return { ...one, train, byLevel: false, notes: [] };
  const taken = `memory: recovery of ${train === 'all' ? 'every weight' : "all pairs' weights"} takes about ${gib(needed)} beside the model`;
  if (asked !== 'auto')
    return {
      ...one,
      train,
      byLevel: false,
      notes: [`${taken}, more than there is room for; it was asked for`],
    };
  return {
    ...one,
    train: 'vectors',
    byLevel: true,
    notes: [
      `${taken}; it trains each level's scales and biases instead, and matrices are refitted in closed form (--recover-weights all trains all, --recover off none)`,
    ],
  };
}

/** Values, both moments of the optimiser and gradients, of every level. */
function ownBytes(own: number): number {
  return 4 * own;
}

/** Of levels trained by themselves: the engine's values and means, each worker's gradients and those on their way to them; the dense model's values. */
function stepBytes({ trainable, workers }: BuildSizes, train: 'all' | 'pairs'): number {
  return (3 + 2 * workers) * trainable[train];
}

/** Of one nested set: the engine's, as above, and both moments. */
function nestedBytes({ trainable, workers }: BuildSizes, train: 'all' | 'pairs'): number {
  return (4 + 2 * workers) * trainable[train];
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
