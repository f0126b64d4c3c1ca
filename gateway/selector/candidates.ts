/** What the selector looks at: plain data, gathered by the gateway from its isolate's memory. */
import type { Policy } from '../../schema/policy.ts';
import type { TimeQuantiles } from './quantiles.ts';

export interface LevelOption {
  readonly level: number;
  readonly quality: number;
  /** Share of the dense model's FLOPs that is gone. */
  readonly sparsity: number;
  readonly flops: number;
}

/** Execution times for one batch size. */
export interface BatchTimes extends TimeQuantiles {
  readonly batch: number;
}

export interface NodeOption {
  readonly name: string;
  /** Why no request may go there; undefined when it may. */
  readonly unusable?: string | undefined;
  /** Everything of the way to the node and back that is neither queue nor execution. */
  readonly network: TimeQuantiles;
  readonly workers: number;
  /** Requests that wait or run there. */
  readonly load: number;
  /** How long a request in that load usually takes to execute. */
  readonly serviceMs: number;
  /** Execution times by level; a level that is absent is not served there. */
  readonly times: ReadonlyMap<number, readonly BatchTimes[]>;
}

export interface SelectionInput {
  /** What the client asked for; picks the policy's tier. */
  readonly requestedBudgetMs: number;
  /** What is left of it. */
  readonly budgetLeftMs: number;
  /** Nothing has a price yet, so this drops no candidate yet. */
  readonly costBudgetMicroUsd?: number | undefined;
  readonly minQuality?: number | undefined;
  readonly batch: number;
  /** Only this level may serve. */
  readonly pinnedLevel?: number | undefined;
  readonly policy: Policy;
  readonly levels: readonly LevelOption[];
  readonly nodes: readonly NodeOption[];
}
