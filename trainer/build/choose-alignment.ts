/**
 * Which widths this machine likes: levels are timed with widths rounded to several multiples, and the multiple that computes a FLOP in the
 * least time is taken, where it gains more than timing's noise over any width.
 */
import { z } from 'zod';
import { ortModel } from '../graph/ort-model.ts';
import { measureLatency } from '../measure/latency.ts';
import { cutGraph } from '../pairs/cut.ts';
import { alignWidths, sizeAt } from '../search/allocate.ts';
import type { CalibratedModel } from './calibrate-model.ts';
import type { Checkpoint } from './checkpoint.ts';
import { keepAt } from './level-stage.ts';
import type { BuildOptions } from './options.ts';
import type { Progress } from './progress.ts';

const MULTIPLES = [1, 4, 8, 16, 32] as const;
const BATCHES = [1, 8] as const;
/** Timed runs of each; what else the machine does falls on all alike, as they take turns. */
const ROUNDS = 40;
/** Of the time with any width: what a multiple must gain to be worth its coarser levels. */
const LEAST_GAIN = 0.03;
/** At most so many levels are timed, spread over the grid. */
const TIMED_LEVELS = 3;

export const timedMultiplesSchema = z.array(
  z.object({
    multiple: z.int().positive(),
    /** Median time per FLOP beside that of any width, the geometric mean over levels and batch sizes. */
    relative: z.number(),
  }),
);
type TimedMultiple = z.infer<typeof timedMultiplesSchema>[number];

/** A calibrated model with the order of each pair's units. */
interface Path extends Pick<CalibratedModel, 'model' | 'pool'> {
  readonly order: readonly (readonly number[])[];
}

/**
 * What widths are rounded to, and what the report says of it. Timed once a run: one that goes on must cut the same levels.
 * @param widths by level, sparsest first, the last one dense
 */
export async function alignmentOf(
  { align }: Pick<BuildOptions, 'align'>,
  path: Path,
  widths: readonly (readonly number[])[],
  checkpoint: Pick<Checkpoint, 'read' | 'write'>,
  progress: Progress,
): Promise<{ readonly multiple: number; readonly notes: readonly string[] }> {
  if (align !== 'auto') return { multiple: align, notes: [] };
  const known = await checkpoint.read('align', timedMultiplesSchema);
  const timed = known ?? (await timeMultiples(path, widths, progress));
  if (known === undefined) await checkpoint.write('align', timed);
  const note = alignmentText(timed);
  progress.note(note);
  return { multiple: chosenMultiple(timed), notes: [note] };
}

async function timeMultiples(
  { model, pool, order }: Path,
  widths: readonly (readonly number[])[],
  progress: Progress,
): Promise<TimedMultiple[]> {
  const pruned = widths.slice(0, -1);
  const step = Math.max(1, Math.ceil(pruned.length / TIMED_LEVELS));
  const rows = pruned.filter((_, level) => level % step === 0);
  const stage = progress.stage('align', BATCHES.length * ROUNDS);
  const variants = MULTIPLES.flatMap((multiple) => alignWidths(model.pairs, rows, multiple));
  const { test } = pool.data;
  const profiles = await measureLatency({
    models: variants.map((row) => () => ortModel(cutGraph(model, keepAt(order, row)))),
    apart: false,
    feeds: (batch) => test.feeds(Array.from({ length: batch }, (_, i) => i % test.count)),
    batches: BATCHES,
    rounds: ROUNDS,
    device: 'cpu',
    onProgress: (done) => stage.update(done),
  });
  stage.finish();
  const perFlop = variants.map((row, i) => {
    const { flops } = sizeAt(model.pairs, row, model);
    return (profiles[i] ?? []).map(({ p50Ms }) => Math.log(p50Ms / flops));
  });
  return MULTIPLES.map((multiple, m) => {
    const differences = rows.flatMap((_, level) => {
      const [own = [], any = []] = [perFlop[m * rows.length + level], perFlop[level]];
      return own.map((time, batch) => time - (any[batch] ?? time));
    });
    const mean = differences.reduce((a, b) => a + b, 0) / Math.max(1, differences.length);
    return { multiple, relative: Math.exp(mean) };
  });
}

/** The fastest; any width where none gains enough. */
export function chosenMultiple(timed: readonly TimedMultiple[]): number {
  const [fastest] = timed.toSorted((a, b) => a.relative - b.relative || a.multiple - b.multiple);
  return fastest !== undefined && fastest.relative <= 1 - LEAST_GAIN ? fastest.multiple : 1;
}

/** What the run says of it. */
export function alignmentText(timed: readonly TimedMultiple[]): string {
  const shown = timed.map(({ multiple, relative }) => `${multiple}: ${(100 * relative).toFixed(1)} %`);
  return `widths are multiples of ${chosenMultiple(timed)} units; time per FLOP on this machine beside any width: ${shown.join(', ')}`;
}
