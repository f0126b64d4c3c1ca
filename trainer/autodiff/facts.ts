/** What is known of a graph's values before it runs: lengths that no input size changes, and element types. */
import { SppError } from '../../schema/errors.ts';
import type { Dtype } from '../graph/graph.ts';
import type { Trace } from '../graph/traces.ts';

/** A length that was the same at every traced size, or undefined where it is free. */
export type AxisLength = number | undefined;

export interface ValueFacts {
  readonly dims: readonly AxisLength[];
  readonly dtype: Dtype;
  /** The gradient of this value has mean zero along its last axis, whatever the loss: its readers see to that. */
  readonly centredGradient?: boolean;
}

export type Facts = ReadonlyMap<string, ValueFacts>;

/** @param traces runs of the same graph at sizes that differ in every free dimension */
export function factsOf(traces: readonly [Trace, ...Trace[]]): Facts {
  const [first, ...others] = traces;
  return new Map(
    [...first.dims].map(([name, dims]) => [
      name,
      {
        dims: dims.map((length, axis) =>
          others.every((other) => other.dims.get(name)?.[axis] === length) ? length : undefined,
        ),
        dtype: first.dtypes.get(name) ?? 'float32',
      },
    ]),
  );
}

/** @throws `internal` when no trace showed the value */
export function factsFor(facts: Facts, value: string): ValueFacts {
  const known = facts.get(value);
  if (known === undefined) throw new SppError('internal', `Nothing is known of the value ${value}.`);
  return known;
}

/** Do gradients exist for elements of this type? */
export function isFloat({ dtype }: ValueFacts): boolean {
  return dtype === 'float32' || dtype === 'float64';
}
