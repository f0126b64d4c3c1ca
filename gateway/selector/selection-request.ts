/** What is asked of the selector, beside the fleet. */
import type { Rules } from './rules.ts';

export interface SelectionRequest {
  readonly rules: Rules;
  /** What is left of the latency budget. */
  readonly budgetLeftMs: number;
  /** Whole nano-dollars; nothing dearer is ever taken. */
  readonly costBudgetNanoUsd?: number | undefined;
  readonly minQuality?: number | undefined;
  /** Only this level may serve. */
  readonly pinnedLevel?: number | undefined;
  /**
   * Work in the fleet, in requests for each worker; 0 without it. The more there is, the more room a run has to leave in its
   * budget for its level to be taken: what runs long holds up those who come after it.
   */
  readonly pressure?: number | undefined;
  /** How many times the usual room; 1 without it. It grows where predictions have not held lately. */
  readonly caution?: number | undefined;
  /** Of the body, for prices that go by them. */
  readonly bytes: number;
  /**
   * Two numbers in [0, 1). With them, nodes that are equally good but for their time are not all left for the quickest:
   * the quicker of two of them, drawn at random, is taken, so that gateways which know the same do not all send there.
   */
  readonly draws?: readonly [number, number] | undefined;
}
