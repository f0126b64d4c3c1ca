/** All layouts: the ways in which architectures write the same few ideas, as small graphs with random weights. */
import { attentionLayouts } from './attention-layouts.case.ts';
import { fusedLayouts } from './fused-layouts.case.ts';
import type { Architecture } from './layout-blocks.case.ts';
import { mlpLayouts } from './mlp-layouts.case.ts';
import { rotaryLayouts } from './rotary-layouts.case.ts';
import { scoreLayouts } from './score-layouts.case.ts';

export const architectures: readonly Architecture[] = [
  ...attentionLayouts,
  ...scoreLayouts,
  ...rotaryLayouts,
  ...mlpLayouts,
  ...fusedLayouts,
];
