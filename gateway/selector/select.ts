/**
 * Picks the level and node of a request: filter by policy and request, predict, drop what does not fit, take the best
 * quality. Pure: no I/O, no clock, no randomness, and the input's order does not matter, so a decision can be replayed.
 */
import type { Policy, PolicyTier } from '../../schema/policy.ts';
import type { LevelOption, NodeOption, SelectionInput } from './candidates.ts';
import { type Prediction, predict } from './predict.ts';

export interface Candidate {
  readonly level: number;
  readonly node: string;
  readonly quality: number;
  readonly sparsity: number;
  readonly flops: number;
  readonly predicted: Prediction;
}

/** Why a level, a node, or the one on the other was not taken. */
export interface Drop {
  readonly level?: number;
  readonly node?: string;
  readonly reason: string;
  readonly predictedMs?: number;
}

/** What the request and the policy's tier allow. */
export interface LevelBounds {
  readonly tier: string | null;
  readonly minSparsity: number;
  readonly maxSparsity: number;
  readonly minQuality: number | null;
}

export type Decision =
  | {
      readonly kind: 'serve';
      /** Whether the prediction fits the budget, or the policy serves it all the same. */
      readonly fits: boolean;
      readonly chosen: Candidate;
      readonly runnerUp: Candidate | undefined;
      readonly bounds: LevelBounds;
      readonly drops: readonly Drop[];
    }
  | {
      readonly kind: 'infeasible';
      /** The sparsest that was allowed and could have been served, and its prediction. */
      readonly sparsest: Candidate | undefined;
      readonly bounds: LevelBounds;
      readonly drops: readonly Drop[];
    }
  | { readonly kind: 'no-node'; readonly drops: readonly Drop[] };

export function select(input: SelectionInput): Decision {
  const { policy, nodes } = input;
  const drops: Drop[] = [];
  const usable = nodes.filter((node) => {
    if (node.unusable !== undefined) drops.push({ node: node.name, reason: node.unusable });
    return node.unusable === undefined;
  });
  const bounds = boundsOf(input);
  const allowed = input.levels.filter((level) => {
    const reason = outOfBounds(level, bounds, input.pinnedLevel);
    if (reason !== undefined) drops.push({ level: level.level, reason });
    return reason === undefined;
  });
  if (usable.length === 0) return { kind: 'no-node', drops };

  const candidates = allowed.flatMap((level) => usable.flatMap((node) => weigh(level, node, input, drops)));
  if (allowed.length > 0 && candidates.length === 0) return { kind: 'no-node', drops };
  const leftMs = input.budgetLeftMs - policy.reserveMs;
  const fitting = candidates.filter((candidate) => {
    const { totalMs } = candidate.predicted;
    if (totalMs > leftMs)
      drops.push({
        level: candidate.level,
        node: candidate.node,
        reason: 'over the budget',
        predictedMs: totalMs,
      });
    return totalMs <= leftMs;
  });
  const [best, runnerUp] = fitting.sort(byQuality);
  if (best !== undefined) return { kind: 'serve', fits: true, chosen: best, runnerUp, bounds, drops };
  const [sparsest, next] = candidates.sort(bySparsity);
  return policy.infeasible === 'serve-sparsest' && sparsest !== undefined
    ? { kind: 'serve', fits: false, chosen: sparsest, runnerUp: next, bounds, drops }
    : { kind: 'infeasible', sparsest, bounds, drops };
}

/** The tier a budget falls in: the first whose `upToMs` is not below it. */
export function tierOf(policy: Policy, budgetMs: number): PolicyTier | undefined {
  return policy.tiers.find((tier) => budgetMs <= tier.upToMs);
}

function boundsOf({ policy, requestedBudgetMs, minQuality }: SelectionInput): LevelBounds {
  const tier = tierOf(policy, requestedBudgetMs);
  return {
    tier: tier?.name ?? null,
    minSparsity: tier?.minSparsity ?? 0,
    maxSparsity: tier?.maxSparsity ?? 1,
    minQuality: minQuality ?? null,
  };
}

function outOfBounds(
  { level, sparsity, quality }: LevelOption,
  bounds: LevelBounds,
  pinned: number | undefined,
): string | undefined {
  if (pinned !== undefined && level !== pinned) return 'another level was asked for';
  if (sparsity < bounds.minSparsity) return `less sparse than the tier ${bounds.tier} allows`;
  if (sparsity > bounds.maxSparsity) return `sparser than the tier ${bounds.tier} allows`;
  if (bounds.minQuality !== null && quality < bounds.minQuality) return 'below the quality asked for';
  return undefined;
}

function weigh(level: LevelOption, node: NodeOption, input: SelectionInput, drops: Drop[]): Candidate[] {
  const predicted = predict(node, level.level, input.batch, input.policy.quantile);
  if (predicted === undefined) {
    drops.push({ level: level.level, node: node.name, reason: 'not served there' });
    return [];
  }
  return [{ ...level, node: node.name, predicted }];
}

/** Best first; the last keys only make the order total, so that equal input gives equal answers. */
function byQuality(a: Candidate, b: Candidate): number {
  return b.quality - a.quality || a.flops - b.flops || byTime(a, b);
}

function bySparsity(a: Candidate, b: Candidate): number {
  return b.sparsity - a.sparsity || byTime(a, b);
}

function byTime(a: Candidate, b: Candidate): number {
  return (
    a.predicted.totalMs - b.predicted.totalMs ||
    (a.node < b.node ? -1 : a.node > b.node ? 1 : 0) ||
    a.level - b.level
  );
}
