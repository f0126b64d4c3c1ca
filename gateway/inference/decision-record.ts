/** One decision as logs, operators and dry runs see it: what was asked, what was chosen and why, what came of it. */
import type { Drop } from '../selector/explain.ts';
import type { Rules } from '../selector/rules.ts';
import type { Candidate, Decision, Tally } from '../selector/select.ts';

export interface DecisionRecord {
  readonly atMs: number;
  readonly requestId: string;
  readonly model: string;
  /** Of the artifact; null where it did not come to that. */
  readonly version: string | null;
  readonly policyVersion: number;
  readonly asked: {
    /** Null where the policy's default held. */
    readonly latencyBudgetMs: number | null;
    readonly costBudgetNanoUsd: number | null;
    readonly minQuality: number;
    readonly pinnedLevel: number | null;
    readonly batch: number;
    readonly bytes: number;
  };
  readonly rules: Rules;
  /** Of the budget, from receipt to the choice: checks, and what the body took to come. */
  readonly spentMs: number;
  /** Of the last selection, when the request was sent more than once. */
  readonly kind: Decision['kind'] | 'shed';
  readonly fits: boolean;
  readonly chosen: Candidate | null;
  readonly runnerUp: Candidate | null;
  readonly tally: Tally | null;
  /** Only where they were asked for. */
  readonly drops?: readonly Drop[];
  readonly outcome: {
    /** What the client was answered. */
    readonly status: number;
    /** That answered. */
    readonly level: number | null;
    /** From receipt to answer. */
    readonly totalMs: number;
    readonly selectMs: number;
    readonly queueMs: number | null;
    readonly executeMs: number | null;
    readonly networkMs: number | null;
    readonly costNanoUsd: number;
    /** Nodes the request was sent to, in order. */
    readonly attempts: readonly string[];
    /** Of these, those asked beside a slow one. */
    readonly hedges: number;
  };
}
