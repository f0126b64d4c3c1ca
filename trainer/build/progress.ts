/** What long work tells whoever watches it. The command line draws bars or writes JSON lines; tests keep silent. */
export interface StageProgress {
  /** `done` counts in the units of the stage's total; `values` are shown beside it. */
  update(done: number, values?: Readonly<Record<string, number>>): void;
  finish(values?: Readonly<Record<string, number>>): void;
}

export interface Progress {
  stage(name: string, total: number): StageProgress;
  note(message: string): void;
}

export const silentProgress: Progress = {
  stage: () => ({ update: () => {}, finish: () => {} }),
  note: () => {},
};
