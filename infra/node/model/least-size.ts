/**
 * The size of inputs that levels are measured and tried with, where requests choose it: the smallest that the model computes. One
 * token does for most; an image has to fill a patch, and sound what a convolution reads at once.
 */
import { SppError } from '../../../schema/errors.ts';
import type { Port } from '../../../schema/manifest.ts';
import { type InputSize, LEAST, type PackedInputs, zeroInputs } from '../tensors.ts';

const LENGTHS = [1, 2, 8, 64, 512, 4096, 16_384];
const SIDES = [1, 16, 32, 64, 128, 224, 512];

/**
 * @param run the model, on inputs of the ports
 * @returns the first size that it takes, sides before lengths; the least of all where it takes none
 * @throws what `run` rejects with, but for `bad-request`
 */
export async function leastSize(
  ports: readonly Port[],
  run: (inputs: PackedInputs) => Promise<unknown>,
): Promise<InputSize> {
  const isFree = (axis: 'length' | 'side') =>
    zeroInputs(ports, 1, { ...LEAST, [axis]: 2 }).feeds.some(({ dims }, i) =>
      dims.some((dim, at) => dim === 2 && ports[i]?.shape[at] === -1),
    );
  const sizes = (isFree('side') ? SIDES : [1]).flatMap((side) =>
    (isFree('length') ? LENGTHS : [1]).map((length) => ({ length, side })),
  );
  if (sizes.length === 1) return LEAST;
  for (const size of sizes)
    try {
      await run(zeroInputs(ports, 1, size));
      return size;
    } catch (error) {
      if (!(error instanceof SppError) || error.code !== 'bad-request') throw error;
    }
  return LEAST;
}
