/** What the selector looks at: plain data, gathered by the gateway from its isolate's memory. */
import type { NetworkTimes } from './network-times.ts';
import type { TimeQuantiles } from './quantiles.ts';

export interface LevelOption {
  readonly level: number;
  /** What levels are ranked by and `minQuality` is held against. */
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
  /** What its prices go by. */
  readonly nodeClass: string;
  /** Why no request may go there; undefined when it may. */
  readonly unusable?: string | undefined;
  /** Everything of the way to the node and back that is neither queue nor execution, by how much goes over it. */
  readonly network: NetworkTimes;
  /** The way with hardly anything to carry, where nothing is in the way; 0 without it. */
  readonly quickestWayMs?: number | undefined;
  readonly workers: number;
  /** Requests that wait or run there. */
  readonly load: number;
  /** Of these, the ones whose levels are known, and how long they keep another from starting. */
  readonly ahead?: { readonly requests: number; readonly ms: number } | undefined;
  /** How long any other request in that load usually takes to execute. */
  readonly serviceMs: number;
  /** Of waits there, what the load does not explain: of requests that should have found a worker free. */
  readonly excessQueue?: TimeQuantiles | undefined;
  /** The same of requests that had to wait; without it the other holds. */
  readonly excessQueueWhenBusy?: TimeQuantiles | undefined;
  /** Execution times by level; a level that is absent is not served there. */
  readonly times: ReadonlyMap<number, readonly BatchTimes[]>;
}

/** What a request costs on one class of nodes at one level, in whole nano-dollars (10^-9 USD). */
export interface Price {
  readonly fixedNanoUsd: number;
  /** For each begun millisecond of execution. */
  readonly perMsNanoUsd: number;
  /** For each begun KiB of the request's body. */
  readonly perKiBNanoUsd: number;
}

export type PriceOf = (nodeClass: string, level: number) => Price;

const NOTHING: Price = { fixedNanoUsd: 0, perMsNanoUsd: 0, perKiBNanoUsd: 0 };

/** The price list of an operator who asks for nothing. */
export const free: PriceOf = () => NOTHING;

/** Of an execution no more is counted, so that at the highest prices that a policy may have a cost is an integer that a double holds. */
const LONGEST_MS = 3_600_000;

/** The cost of one request in whole nano-dollars; the same sum predicts it and settles it. */
export function costNanoUsd(price: Price, executeMs: number, bytes: number): number {
  return (
    price.fixedNanoUsd +
    price.perMsNanoUsd * Math.ceil(Math.min(executeMs, LONGEST_MS)) +
    price.perKiBNanoUsd * Math.ceil(bytes / 1024)
  );
}
