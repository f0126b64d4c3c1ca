/**
 * The contract of the two engines, `onnxruntime` and TensorFlow.js: a graph, what to differentiate in, and a loss; per step a batch
 * goes in, and the mean loss and its gradients come out.
 */
import type { Nesting } from '../autodiff/nested-forward.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { MaskedAxis } from '../graph/mask-site.ts';
import type { BackendChoice, BackendName } from './backend-names.ts';
import type { LossTarget } from './loss.ts';
import type { MemoryLimits } from './memory-limits.ts';

/** What the engine needs to know of a pair. */
export interface MaskedPair {
  readonly name: string;
  readonly units: number;
  readonly maskSites: readonly MaskedAxis[];
}

/** Pairs whose units stand in path order, structurally a prepared model's. */
export interface NestedPairs extends Nesting {
  readonly pairs: readonly (Nesting['pairs'][number] & MaskedPair)[];
}

export interface EngineOptions {
  readonly graph: Graph;
  /** `auto` and `tfjs`: the first that is installed, starts and has all the gradients; what was passed over is told. */
  readonly backend: BackendChoice;
  /** Masks are multiplied in at these pairs' sites; each step gives one a pair. None by default. */
  readonly pairs?: readonly MaskedPair[];
  /** Are the masks' gradients wanted? True by default. */
  readonly maskGradients?: boolean;
  /** Names of float32 initializers: their gradients are wanted, and their values may change between steps. None by default. */
  readonly weights?: readonly string[];
  /**
   * Each step says how many units of each pair to keep, the first so many in the graph's order. onnxruntime cuts the weights in the
   * graph, so a sparse level costs less; TensorFlow.js masks. Not together with `pairs`.
   */
  readonly nested?: NestedPairs;
  /** Threads for wasm, cpu and onnxruntime; default one per core, at most 8. Native backends thread by themselves and always run as one. */
  readonly workers?: number;
  /** onnxruntime on the cpu only: threads that an operator of a worker may use; 1 by default. */
  readonly workerThreads?: number;
  /** Examples computed at once in a thread; default 32 on onnxruntime, 64 on wasm and cpu, 128 on native backends. Larger batches are added up: memory stays bounded and caches warm. */
  readonly microBatch?: number | undefined;
  /** Told the new size when a step did not fit into memory and is tried with half as many examples at once. */
  readonly onHalved?: (microBatch: number) => void;
  /** onnxruntime only: compute activations between values of the residual stream twice instead of keeping them. False until a step does not fit into memory. */
  readonly recompute?: boolean;
  /** Told when a step did not fit into memory and is tried again with `recompute`. */
  readonly onRecompute?: () => void;
}

export interface EngineStep {
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** One per pair of `pairs`, [units]. */
  readonly masks?: readonly Float32Array[];
  /** Units kept, one per pair of `nested`: from 1 to all; all where absent. */
  readonly widths?: readonly number[];
  /**
   * `kl`: mean over rows of KL(softmax(teacher) || softmax(output)), teacher = logits [B, ..., C].
   * `squared`: mean over rows of half the squared distance, teacher = values [B, ..., C] of any value of the graph.
   * `cross-entropy`: labels [B], or one for each of the output's rows, -1 where a row does not count.
   */
  readonly loss: LossTarget;
}

export interface EngineGradients {
  /** Mean over the output's rows that count; NaN or infinite when the computation left the finite numbers: the caller decides. */
  readonly loss: number;
  /** One per pair, summed over that pair's sites, of the mean loss; none where they are not wanted. */
  readonly masks: readonly Float32Array[];
  /** By weight, in its whole shape, of the mean loss. The next step writes into the same arrays. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** What all widths of one batch give together. */
export interface EngineMean {
  /** As a step's, by widths. */
  readonly losses: readonly number[];
  /** As a step's, the mean over the widths. */
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/** A backend that was tried before the one that runs, and why it does not. */
export interface PassedOver {
  readonly backend: BackendName;
  readonly reason: string;
}

export interface Engine {
  readonly backend: BackendName;
  /** In the order tried; empty where a backend was named. */
  readonly passedOver: readonly PassedOver[];
  readonly workers: number;
  /** The weights that are differentiated, by name, as the next step will see them: an optimiser writes here between steps. */
  readonly weights: ReadonlyMap<string, Float32Array>;
  /** Steps run one after the other, in the order asked for. @throws `bad-shape` for feeds, masks, widths or targets that do not fit; `internal` when a worker died */
  step(step: EngineStep): Promise<EngineGradients>;
  /** Of a nested engine: one batch at several widths, handed out and added up once. @throws as `step` */
  stepAt(
    batch: Pick<EngineStep, 'feeds' | 'loss'>,
    widths: readonly (readonly number[])[],
  ): Promise<EngineMean>;
  /** What the next step computes at once. */
  limits(): MemoryLimits;
  /** Sets it, as when a step did not fit into memory. */
  limit(limits: MemoryLimits): void;
  close(): Promise<void>;
}
