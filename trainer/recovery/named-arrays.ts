/** Arithmetic on arrays by name, as weights and gradients come. */

/** Of any names and lengths; those that go together have the same. */
export type Arrays = ReadonlyMap<string, Float32Array>;

/** Arrays of zeros, as long. */
export function zerosLike(weights: Arrays): Map<string, Float32Array> {
  return new Map([...weights].map(([name, { length }]) => [name, new Float32Array(length)]));
}

/** Those of the names, in memory of their own. */
export function copies(names: readonly string[], from: Arrays): Arrays {
  return new Map(names.map((name) => [name, Float32Array.from(from.get(name) ?? [])]));
}

/** Writes the values of those that are among the targets. */
export function copyInto(targets: ReadonlyMap<string, Float32Array>, sources: Arrays): void {
  for (const [name, values] of sources) targets.get(name)?.set(values);
}
