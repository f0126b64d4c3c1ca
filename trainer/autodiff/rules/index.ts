/** All rules in one table; their files say what they cover. */
import type { VjpTable } from '../rule.ts';
import { activationRules } from './activation.ts';
import { blockRules } from './blocks.ts';
import { convolveRules } from './convolve.ts';
import { einsumRules } from './einsum.ts';
import { elementwiseRules } from './elementwise.ts';
import { gatherRules } from './gather.ts';
import { layoutRules } from './layout.ts';
import { linearRules } from './linear.ts';
import { normalizeRules } from './normalize.ts';
import { groupNormalizeRules } from './normalize-groups.ts';
import { poolRules } from './pool.ts';
import { reduceRules } from './reduce.ts';
import { scatterRules } from './scatter.ts';
import { trigonometryRules } from './trigonometry.ts';
import { windowRules } from './window.ts';

export const rules: VjpTable = {
  ...elementwiseRules,
  ...activationRules,
  ...linearRules,
  ...einsumRules,
  ...blockRules,
  ...convolveRules,
  ...normalizeRules,
  ...groupNormalizeRules,
  ...layoutRules,
  ...gatherRules,
  ...reduceRules,
  ...scatterRules,
  ...trigonometryRules,
  ...poolRules,
  ...windowRules,
};
