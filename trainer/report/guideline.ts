/** Which level to take for how much loss: the table that operators read first. Pure. */
import type { Manifest, ManifestLevel } from '../../schema/manifest.ts';

/** Losses that people ask for, as shares. */
const TOLERANCES = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1] as const;

/** Shares of examples that differ by exactly a tolerance must not fall on its wrong side. */
const ROUNDING = 1e-9;

export interface Advice {
  /** At most this loss: of accuracies and cosines in points of the whole, of all else relative to the dense level. */
  readonly tolerance: number;
  readonly level: number;
  readonly relativeFlops: number;
  readonly relativeParams: number;
  /** Of the level, by its measured mean; negative where it is better than the dense one. */
  readonly loss: number;
  /** At the unfavourable end of the level's 95 % interval. */
  readonly worstLoss: number;
  /** Dense p50 over the level's, at the smallest measured batch. */
  readonly speedup: number | undefined;
}

/** The level with the fewest FLOPs whose loss is within each tolerance; the dense one always is. */
export function guideline({ levels }: Pick<Manifest, 'levels'>): Advice[] {
  const dense = levels.at(-1);
  if (dense === undefined) return [];
  return TOLERANCES.map((tolerance) => {
    const level = levels.find((each) => lossOf(each.quality.value, dense) <= tolerance + ROUNDING) ?? dense;
    return {
      tolerance,
      level: level.level,
      relativeFlops: level.relativeFlops,
      relativeParams: level.relativeParams,
      loss: lossOf(level.quality.value, dense),
      worstLoss: lossOf(level.quality.low, dense),
      speedup: speedupOf(level, dense),
    };
  });
}

/** How much less than the dense level's quality a value is; see `Advice.tolerance`. */
function lossOf(value: number, { quality }: Pick<ManifestLevel, 'quality'>): number {
  const difference = quality.value - value;
  return isAbsolute(quality.unit)
    ? difference
    : difference / Math.max(Math.abs(quality.value), Number.MIN_VALUE);
}

function speedupOf(level: ManifestLevel, dense: ManifestLevel): number | undefined {
  const own = level.latency.toSorted((a, b) => a.batch - b.batch)[0];
  const whole = dense.latency.find((profile) => profile.batch === own?.batch);
  return own === undefined || whole === undefined ? undefined : whole.p50Ms / own.p50Ms;
}

/** One line as people say it. */
export function adviceText({ tolerance, level, relativeFlops, speedup }: Advice): string {
  const flops = relativeFlops < 1 ? `${percent(relativeFlops)} of the FLOPs` : 'the dense one';
  return `for at most ${percent(tolerance)} loss use level ${level}: ${flops}${fasterText(relativeFlops, speedup)}`;
}

function fasterText(relativeFlops: number, speedup: number | undefined): string {
  if (speedup === undefined || relativeFlops === 1) return '';
  // As it is shown: 1.04 is no gain.
  const shown = speedup.toFixed(1);
  return Number(shown) > 1 ? `, ${shown}x faster` : ', not faster';
}

/** What the tolerances of the advice count in. */
export function lossText({ quality: { metric, unit, value } }: Pick<ManifestLevel, 'quality'>): string {
  return isAbsolute(unit)
    ? `Loss counts in points of ${metric}, of which the dense level has ${percent(value, 4)}.`
    : `Loss is relative to the dense level's ${metric}.`;
}

function isAbsolute(unit: ManifestLevel['quality']['unit']): boolean {
  return unit === undefined || unit === 'share' || unit === 'cosine';
}

const percent = (share: number, digits = 2) => `${Number((100 * share).toPrecision(digits))} %`;
