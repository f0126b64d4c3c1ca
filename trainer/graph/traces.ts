/** What runs of a graph tell of its values, as plain data: who reads traces need not know how they are made. */
import type { Dtype, Tensor } from './graph.ts';

/** Values of one run. */
export interface Trace {
  /** Of every value: inputs, initializers, node outputs of element types that Tensor knows. */
  readonly dims: ReadonlyMap<string, readonly number[]>;
  readonly dtypes: ReadonlyMap<string, Dtype>;
  /** Contents of the values that were asked to be kept. */
  readonly kept: ReadonlyMap<string, Tensor>;
}

/** Two that differ in batch and length, one with batch 1, and one more where lengths are free and the model takes a third one. */
export type Traces = readonly [first: Trace, second: Trace, single: Trace, ...more: Trace[]];
