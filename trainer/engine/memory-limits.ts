/**
 * What a run has learnt about memory: from which step on fewer examples are computed at once, or activations computed twice. Sums are
 * added in another order then, so a run that goes on must do the same at the same step to end with the same numbers.
 */
import { z } from 'zod';

/** What an engine computes at once. */
export interface MemoryLimits {
  /** Examples; the backend's default where absent. */
  readonly microBatch?: number | undefined;
  readonly recompute: boolean;
}

export const limitEventsSchema = z.array(
  z.object({
    stage: z.string(),
    step: z.int(),
    microBatch: z.int().positive().optional(),
    recompute: z.boolean(),
  }),
);
export type LimitEvent = z.infer<typeof limitEventsSchema>[number];

/** What has limits that can be set. */
interface Limited {
  limits(): MemoryLimits;
  limit(limits: MemoryLimits): void;
}

export interface LimitLog {
  /** Before each step: sets what was learnt at this step or before, in an earlier run too. */
  before(stage: string, step: number, engine: Limited): void;
  /** After each step: writes down what the step has learnt, before anything that follows from it is kept. */
  after(stage: string, step: number, engine: Limited): Promise<void>;
}

/**
 * @param known what an earlier run has learnt, in order
 * @param save is given all events whenever there is a new one
 */
export function limitLog(
  known: readonly LimitEvent[],
  save: (events: readonly LimitEvent[]) => Promise<void>,
): LimitLog {
  const events = [...known];
  let begun: MemoryLimits | undefined;
  return {
    before(stage, step, engine) {
      const event = events.findLast((each) => each.stage === stage && each.step <= step);
      if (event !== undefined) engine.limit(event);
      begun = engine.limits();
    },
    async after(stage, step, engine) {
      const { microBatch, recompute } = engine.limits();
      if (microBatch === begun?.microBatch && recompute === begun?.recompute) return;
      events.push({ stage, step, recompute, ...(microBatch === undefined ? {} : { microBatch }) });
      await save(events);
    },
  };
}

/** What a report says of them. */
export function limitTexts(events: readonly LimitEvent[]): string[] {
  return events.map(({ stage, step, microBatch, recompute }) => {
    const since = step < 0 ? 'from before its first step on' : `from step ${step} on`;
    const ways = [
      ...(recompute ? ['activations are computed twice'] : []),
      ...(microBatch === undefined ? [] : [`${microBatch} examples are computed at once`]),
    ];
    return `memory ran out in ${stage}: ${since} ${ways.join(', and ')}`;
  });
}

/** Of runs that are not gone on with. */
export const noLimitLog: LimitLog = { before: () => {}, after: async () => {} };
