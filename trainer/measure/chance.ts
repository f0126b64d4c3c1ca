/** Whether accuracy means anything: a dense model that is right no more often than chance has other classes than the data. Pure. */
import type { Quality } from '../../schema/manifest.ts';
import type { Targets } from '../data/dataset.ts';

/** What the run says of it; undefined where there is nothing to say. @param output that the classes are read off */
export function chanceText(
  { metric, value }: Pick<Quality, 'metric' | 'value'>,
  targets: Targets | undefined,
  output: string,
): string | undefined {
  if (metric !== 'accuracy' || targets?.kind !== 'class') return undefined;
  const classes = targets.names.length;
  if (value * classes > 1) return undefined;
  return `the dense level is right in ${(100 * value).toFixed(1)} % of the test examples, no more than chance among ${classes} classes: class ${targets.names[0]} of the data is place 0 of ${output}, and so on; where the model's classes are others, --task distil measures what of its answers levels keep`;
}
