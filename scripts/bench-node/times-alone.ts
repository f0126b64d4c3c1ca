/** What one row takes at each level, as a node has measured it: budgets and rivals of a benchmark go by it. */
import { SppError } from '../../schema/errors.ts';
import type { NodeReport } from '../../schema/node-report.ts';

type ReportedLevel = NodeReport['models'][number]['levels'][number];

/**
 * By level, the sparsest first.
 * @param levels as they are reported, which leaves out what cannot be served
 * @throws `not-ready` naming the first level without a time: a budget made of none would have no bound
 */
export function timesAlone(
  levels: readonly ReportedLevel[],
  count: number,
): { readonly p50Ms: number; readonly p95Ms: number }[] {
  return Array.from({ length: count }, (_, level) => {
    const reported = levels.find((each) => each.level === level);
    const alone = reported?.profiles.find(({ batch }) => batch === 1);
    if (alone !== undefined) return alone;
    throw new SppError('not-ready', `The node reports no time of one row at level ${level}.`, {
      hint:
        reported === undefined
          ? 'It does not serve that level at the moment; its log says why.'
          : 'It has not measured that level alone; try again.',
    });
  });
}
