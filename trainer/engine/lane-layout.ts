/**
 * How onnxruntime's steps are spread over a machine's cores: workers side by side, each on its share of a batch, or fewer with more
 * threads for each operator. Which is faster depends on the model and the machine, so it is measured, not guessed.
 */

export interface LaneLayout {
  readonly workers: number;
  /** Of each worker. */
  readonly threads: number;
}

export interface TimedLayout {
  readonly layout: LaneLayout;
  /** The fastest step. */
  readonly stepMs: number;
  /** The median one. */
  readonly typicalMs: number;
}

export const MOST_WORKERS = 8;
/** What another layout must gain on the one with most workers: its gradients differ in their last digits, for nothing else. */
const GAIN = 0.95;

/** One worker a core, one of all cores, and one between where there are many; the first is the one to take unmeasured. */
export function layoutsFor(cores: number): LaneLayout[] {
  const counts = [Math.min(MOST_WORKERS, cores), Math.floor(Math.sqrt(cores)), 1];
  return [...new Set(counts)].map((workers) => ({
    workers,
    threads: Math.max(1, Math.floor(cores / workers)),
  }));
}

/** As many workers of so many threads as the cores hold. */
export function layoutOf(cores: number, threads: number): LaneLayout {
  return { workers: Math.min(MOST_WORKERS, Math.max(1, Math.floor(cores / threads))), threads };
}

/**
 * Another layout must be clearly faster at its best and as a rule: on a busy machine one of the two alone is soon luck.
 * @param timed in the order of `layoutsFor`
 */
export function fastestLayout(timed: readonly [TimedLayout, ...TimedLayout[]]): LaneLayout {
  const [first, ...others] = timed;
  const faster = others.filter(
    ({ stepMs, typicalMs }) => stepMs < GAIN * first.stepMs && typicalMs < GAIN * first.typicalMs,
  );
  return faster.reduce((least, each) => (each.stepMs < least.stepMs ? each : least), first).layout;
}

export function layoutText({ workers, threads }: LaneLayout): string {
  const plural = (count: number, name: string) => `${count} ${name}${count === 1 ? '' : 's'}`;
  return `${plural(workers, 'worker')} of ${plural(threads, 'thread')}`;
}
