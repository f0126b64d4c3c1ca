/** What a path is to hold, read off the results: pure functions from a summary to sentences with the figures that decide. */
import type { Method } from './methods.ts';
import type { Metric } from './models.ts';
import { type Cell, onSameSeeds, type SummaryRow } from './summary.ts';

export interface Claim {
  readonly claim: string;
  readonly holds: boolean;
  /** Where it is nearest to failing, or fails most. */
  readonly figures: string;
}

export interface ClaimScene {
  readonly rows: readonly SummaryRow[];
  readonly metric: Pick<Metric, 'better' | 'digits' | 'near'>;
  /** What half of the reachable FLOPs may cost, from the dense model's own figure. */
  readonly halfLoss: (dense: number) => number;
  readonly methods: Readonly<Record<string, Pick<Method, 'label' | 'ours' | 'training'>>>;
  /** Epochs of each method, altogether. */
  readonly epochs: Readonly<Record<string, number>>;
}

const MOST_EPOCHS = 3;
/** Levels above are near the dense model whoever makes them. */
const BELOW = 0.8;

/** One for each claim that can be told from what was measured. */
export function claimsOf(scene: ClaimScene): Claim[] {
  const { rows, metric, halfLoss, methods, epochs } = scene;
  const named = (chosen: (method: Pick<Method, 'ours' | 'training'>) => boolean) =>
    Object.keys(methods).filter((name) => chosen(methods[name] as Method));
  const ours = named((method) => method.training === undefined && method.ours === true);
  const others = named((method) => method.training === undefined && method.ours !== true);
  const joint = named((method) => method.training === 'joint');
  const pruned = rows.filter(({ reachable }) => reachable < 1);
  const below = pruned.filter(({ reachable }) => reachable < BELOW);
  const half = rows.filter(({ reachable }) => reachable === 0.5);
  const beside = (claim: string, where: readonly SummaryRow[], mine: readonly string[], versus: Versus) =>
    besideOthers(claim, scene, where, mine, versus);
  return [
    ...beside('without training: best, or within the noise of the best', pruned, ours, {
      names: others,
      allowed: noise,
    }),
    ...lossAtHalf('without training', scene, half, ours, halfLoss),
    ...beside('joint: as near as wanted to levels trained apart for as long', pruned, joint, {
      names: named((method) => method.training === 'each'),
      allowed: (_, other) => metric.near(other.mean),
    }),
    ...beside('joint: above levels trained apart with its total budget', below, joint, {
      names: named((method) => method.training === 'total'),
      allowed: () => 0,
    }),
    ...lossAtHalf('joint', scene, half, joint, halfLoss),
    ...[...ours, ...joint].flatMap((name) => neverFalls(scene, name)),
    ...joint.flatMap((name) => withinCost(methods[name]?.label ?? name, epochs[name])),
  ];
}

function withinCost(label: string, cost: number | undefined): Claim[] {
  if (cost === undefined) return [];
  const claim = `${label}: the whole path costs at most ${MOST_EPOCHS} epochs`;
  return [{ claim, holds: cost <= MOST_EPOCHS, figures: cost.toFixed(2) }];
}

interface Versus {
  readonly names: readonly string[];
  /** By how much it may be worse. */
  readonly allowed: (own: Cell, other: Cell) => number;
}

interface Named {
  readonly name: string;
  readonly cell: Cell;
}

function besideOthers(
  claim: string,
  scene: ClaimScene,
  rows: readonly SummaryRow[],
  mine: readonly string[],
  { names, allowed }: Versus,
): Claim[] {
  const worst = rows
    .flatMap((row) => {
      const [own, other] = [best(scene, row, mine), best(scene, row, names)];
      if (own === undefined || other === undefined) return [];
      const [a, b] = onSameSeeds(own.cell, other.cell);
      const margin = gain(scene, a.mean, b.mean) + allowed(a, b);
      return [{ row, own: a, other: b, name: other.name, margin }];
    })
    .toSorted((a, b) => a.margin - b.margin)[0];
  if (worst === undefined) return [];
  const { row, own, other, name, margin } = worst;
  const by = `${shown(scene, own)} beside ${shown(scene, other)} (${scene.methods[name]?.label})`;
  return [{ claim, holds: margin >= 0, figures: `${by} at ${100 * row.reachable} %` }];
}

function lossAtHalf(
  trained: 'without training' | 'joint',
  scene: ClaimScene,
  rows: readonly SummaryRow[],
  ours: readonly string[],
  halfLoss: ClaimScene['halfLoss'],
): Claim[] {
  const [own] = rows.flatMap((row) => best(scene, row, ours) ?? []);
  const whole = scene.rows.find(({ reachable }) => reachable === 1)?.cells ?? {};
  // Joint training changes the dense level too: without training it is the model itself.
  const untrained = Object.keys(whole).find((name) => scene.methods[name]?.training === undefined);
  const dense = whole[untrained ?? own?.name ?? ''];
  if (own === undefined || dense === undefined) return [];
  const most = halfLoss(dense.mean);
  return [
    {
      claim: `${trained}: at 50 % at most ${most.toFixed(scene.metric.digits)} worse than dense`,
      holds: gain(scene, own.cell.mean, dense.mean) >= -most,
      figures: `${shown(scene, own.cell)} beside ${shown(scene, dense)}`,
    },
  ];
}

/** From a sparser level to a denser one. */
function neverFalls(scene: ClaimScene, name: string): Claim[] {
  const ascending = scene.rows.toSorted((a, b) => a.reachable - b.reachable);
  const steps = ascending.slice(1).flatMap((row, i) => {
    const [sparser, denser] = [ascending[i]?.cells[name], row.cells[name]];
    if (sparser === undefined || denser === undefined || denser.seeds === 0) return [];
    const margin = gain(scene, denser.mean, sparser.mean) + noise(denser, sparser);
    return [{ row, sparser, denser, margin }];
  });
  const worst = steps.toSorted((a, b) => a.margin - b.margin)[0];
  if (worst === undefined) return [];
  const { row, sparser, denser, margin } = worst;
  return [
    {
      claim: `${scene.methods[name]?.label}: never falls from a sparser to a denser level by more than noise`,
      holds: margin >= 0,
      figures: `${shown(scene, denser)} at ${100 * row.reachable} % behind ${shown(scene, sparser)}`,
    },
  ];
}

/**
 * What a difference of two means may be without meaning anything: half the 95 % interval of a measurement by its test examples
 * (methods are measured on the same ones, so their errors largely go together), or twice the standard error over seeds.
 */
function noise(a: Cell, b: Cell): number {
  const seeds = Math.sqrt(a.deviation ** 2 / a.seeds + b.deviation ** 2 / b.seeds);
  return Math.max((a.halfInterval + b.halfInterval) / 2, 2 * seeds);
}

function best(scene: ClaimScene, row: SummaryRow, names: readonly string[]): Named | undefined {
  const known = names.flatMap((name): Named[] => {
    const cell = row.cells[name];
    return cell === undefined || cell.seeds === 0 ? [] : [{ name, cell }];
  });
  return known.toSorted((a, b) => gain(scene, b.cell.mean, a.cell.mean))[0];
}

/** How much better `a` is than `b`. */
function gain({ metric }: ClaimScene, a: number, b: number): number {
  return metric.better === 'higher' ? a - b : b - a;
}

const shown = ({ metric }: ClaimScene, { mean }: Cell) => mean.toFixed(metric.digits);
