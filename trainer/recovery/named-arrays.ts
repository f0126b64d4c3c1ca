/** Arithmetic on arrays by name, as weights and gradients come. */

/** Of any names and lengths; those that go together have the same. */
export type Arrays = ReadonlyMap<string, Float32Array>;

/** Arrays of zeros, as long. */
export function zerosLike(arrays: Arrays): Arrays {
  return new Map([...arrays].map(([name, { length }]) => [name, new Float32Array(length)]));
}

/** The same values in memory of their own. */
export function copies(arrays: Arrays): Arrays {
  return new Map([...arrays].map(([name, values]) => [name, values.slice()]));
}

/** Writes the values of those that are among the targets. */
export function copyInto(targets: Arrays, sources: Arrays): void {
  for (const [name, values] of sources) targets.get(name)?.set(values);
}
