/** Which levels are worth offering: those that no other beats in quality without being slower. Pure. */
import type { ManifestLevel } from '../../schema/manifest.ts';

export type Measured = Pick<ManifestLevel, 'quality' | 'latency' | 'relativeFlops'>;

export interface Dropped {
  /** Places in the list of levels. */
  readonly level: number;
  /** One that is kept. */
  readonly better: number;
}

export interface Frontier {
  readonly kept: readonly number[];
  readonly dropped: readonly Dropped[];
}

/**
 * A level is dropped when another has at least its quality and at least its speed (median, at every batch size measured). The
 * dense level stays, whatever is measured: it is what all others are compared with. Of levels that are equal in both, the
 * sparser stays.
 */
export function frontier(levels: readonly Measured[]): Frontier {
  const dense = levels.length - 1;
  const betterThan = (level: number) =>
    level === dense
      ? []
      : [...levels.keys()].filter(
          (place) =>
            place !== level && beats(levels[place] as Measured, levels[level] as Measured, place < level),
        );
  const kept = [...levels.keys()].filter((level) => betterThan(level).length === 0);
  // What beats a level that beats another beats that, too: one of those that are kept always does.
  const dropped = [...levels.keys()].flatMap((level) => {
    const [better] = betterThan(level).filter((place) => kept.includes(place));
    return better === undefined ? [] : [{ level, better }];
  });
  return { kept, dropped };
}

function beats(other: Measured, own: Measured, sparser: boolean): boolean {
  if (own.latency.length === 0 || other.quality.value < own.quality.value) return false;
  const pairs = own.latency.map(
    ({ batch, p50Ms }) =>
      [p50Ms, other.latency.find((each) => each.batch === batch)?.p50Ms ?? Number.POSITIVE_INFINITY] as const,
  );
  if (pairs.some(([mine, theirs]) => theirs > mine)) return false;
  const equal = other.quality.value === own.quality.value && pairs.every(([mine, theirs]) => theirs === mine);
  return !equal || sparser;
}

/** What the report says of a dropped level. */
export function droppedText({ level, better }: Dropped, levels: readonly Measured[]): string {
  const say = (place: number) => {
    const { relativeFlops, quality, latency } = levels[place] as Measured;
    return `${(100 * relativeFlops).toFixed(0)} % of the FLOPs (${quality.metric} ${quality.value.toFixed(4)}, ${latency[0]?.p50Ms.toFixed(2)} ms)`;
  };
  return `The level at ${say(level)} was dropped: the one at ${say(better)} is at least as good and not slower.`;
}

/** What the report says of levels that are offered although another beats them; undefined where there are none. */
export function beatenText(dropped: readonly Dropped[]): string | undefined {
  if (dropped.length === 0) return undefined;
  const each = dropped.map(({ level, better }) => `${level} (by ${better})`);
  return `levels that others beat in quality on this machine without being slower: ${each.join(', ')}; --frontier leaves such levels out`;
}
