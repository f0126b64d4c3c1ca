/** What long work tells whoever watches it. The command line draws bars or writes JSON lines; tests keep silent. */
export interface StageProgress {
  /** `done` counts in the units of the stage's total; `values` are shown beside it. */
  update(done: number, values?: Readonly<Record<string, number>>): void;
  finish(values?: Readonly<Record<string, number>>): void;
}

export interface Progress {
  /** @param before what an interrupted run had done of the total */
  stage(name: string, total: number, before?: number): StageProgress;
  note(message: string): void;
}

export const silentProgress: Progress = {
  stage: () => ({ update: () => {}, finish: () => {} }),
  note: () => {},
};

/** What a run says when a step did not fit into memory and activations are no longer kept. */
export function sayRecompute(progress: Pick<Progress, 'note'>): () => void {
  return () =>
    progress.note(
      'a step did not fit into memory: from here on activations are computed twice instead of being kept (--recompute)',
    );
}

/** What a run says when a step did not fit into memory. */
export function sayHalved(progress: Pick<Progress, 'note'>): (microBatch: number) => void {
  return (microBatch) =>
    progress.note(
      `a step did not fit into memory: from here on ${microBatch} examples are computed at once instead of twice as many`,
    );
}
