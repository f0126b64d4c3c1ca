/** Which requests can share a run, and in which sizes. Pure. */
import type { Manifest } from '../../../schema/manifest.ts';
import type { PackedInputs } from '../tensors.ts';

/** Whether every input and output has a leading dimension that requests choose. */
export function manifestShares({ inputs, outputs }: Manifest): boolean {
  return [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}

/** Powers of two above 1, and the limit itself. */
export function sizesUpTo(limit: number): number[] {
  const sizes = Array.from({ length: Math.floor(Math.log2(limit)) }, (_, i) => 2 ** (i + 1));
  return limit === 1 || sizes.at(-1) === limit ? sizes : [...sizes, limit];
}

/** Equal for requests whose tensors can be joined along the leading dimension, those of `padded` once they are filled up. */
export function shareKey(
  { feeds }: PackedInputs,
  outputs: readonly string[],
  padded: ReadonlySet<string>,
  length: number,
): string {
  const shapes = feeds.map(({ name, dims }) =>
    padded.has(name) ? [length, ...dims.slice(2)] : dims.slice(1),
  );
  return JSON.stringify([shapes, outputs]);
}
