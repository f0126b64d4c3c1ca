/** Readable names by order: a layer begins where a kind comes that the current one already has. */
import type { PairKind } from '../../schema/manifest.ts';

const SLOT = {
  'query-key': 'query-key',
  'value-projection': 'value-projection',
  sequential: 'mlp',
  gated: 'mlp',
} as const satisfies Record<PairKind, string>;

/** @param kinds in graph order */
export function pairNames(kinds: readonly PairKind[]): string[] {
  let layer = 0;
  let taken = new Set<string>();
  return kinds.map((kind) => {
    const slot = SLOT[kind];
    // Attention after an MLP is a new layer even if it has only one of its two pairs.
    if (taken.has(slot) || (slot !== 'mlp' && taken.has('mlp'))) {
      layer += 1;
      taken = new Set();
    }
    taken.add(slot);
    return `layer${layer}.${slot}`;
  });
}
