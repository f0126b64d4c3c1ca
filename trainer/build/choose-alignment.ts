/**
 * Which widths this machine likes: levels are timed with widths rounded to several multiples, and the multiple that is fastest for its FLOPs
 * is taken, where it gains more than timing's noise over any width.
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

const timedMultiplesSchema = z.array(
  z.object({
    multiple: z.int().positive(),
    /** Median time beside that of any width with as many FLOPs, the geometric mean over levels and batch sizes. */
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
  const step = Math.max(1, Math.ceil((widths.length - 1) / TIMED_LEVELS));
  // The dense level is the last point that times of other FLOPs are read off.
  const rows = widths.filter((_, level) => level % step === 0 || level === widths.length - 1);
  const stage = progress.stage('align', BATCHES.length * ROUNDS);
  const variants = MULTIPLES.map((multiple) => alignWidths(model.pairs, rows, multiple));
  const { test } = pool.data;
  const profiles = await measureLatency({
    models: variants.flatMap((own) => own.map((row) => () => ortModel(cutGraph(model, keepAt(order, row))))),
    apart: false,
    feeds: (batch) => test.feeds(Array.from({ length: batch }, (_, i) => i % test.count)),
    batches: BATCHES,
    rounds: ROUNDS,
    device: 'cpu',
    onProgress: (done) => stage.update(done),
  });
  stage.finish();
  const timed = variants.map((own, m) =>
    BATCHES.map((_, batch) =>
      own.map((row, level) => ({
        flops: sizeAt(model.pairs, row, model).flops,
        ms: profiles[m * rows.length + level]?.[batch]?.p50Ms ?? Number.NaN,
      })),
    ),
  );
  return MULTIPLES.map((multiple, m) => ({
    multiple,
    relative: relativeTime(timed[m] ?? [], timed[0] ?? []),
  }));
}

interface TimedLevel {
  readonly flops: number;
  readonly ms: number;
}

/**
 * How long levels take beside levels of any width with as many FLOPs, between which times are taken along a line: rounding changes
 * FLOPs, and small models take little less time for fewer of them.
 * @param levels by batch size; the last one dense, which no rounding changes
 * @returns the geometric mean over the pruned levels and batch sizes
 */
export function relativeTime(
  levels: readonly (readonly TimedLevel[])[],
  anyWidth: readonly (readonly TimedLevel[])[],
): number {
  const logs = levels.flatMap((own, batch) => {
    const known = anyWidth[batch] ?? [];
    return own.slice(0, -1).map(({ flops, ms }) => Math.log(ms / timeAt(known, flops)));
  });
  return Math.exp(logs.reduce((a, b) => a + b, 0) / Math.max(1, logs.length));
}

/** Along the line between the two neighbours in FLOPs, or the two nearest. */
function timeAt(known: readonly TimedLevel[], flops: number): number {
  const after = known.findIndex((level) => level.flops >= flops);
  const place = Math.min(Math.max(1, after < 0 ? known.length - 1 : after), known.length - 1);
  const [a, b] = [known[place - 1], known[place]];
  if (a === undefined || b === undefined || b.flops === a.flops) return (b ?? a ?? { ms: Number.NaN }).ms;
  return a.ms + ((b.ms - a.ms) * (flops - a.flops)) / (b.flops - a.flops);
}

/** The fastest; any width where none gains enough. */
export function chosenMultiple(timed: readonly TimedMultiple[]): number {
  const [fastest] = timed.toSorted((a, b) => a.relative - b.relative || a.multiple - b.multiple);
  return fastest !== undefined && fastest.relative <= 1 - LEAST_GAIN ? fastest.multiple : 1;
}

/** What the run says of it. */
export function alignmentText(timed: readonly TimedMultiple[]): string {
  const shown = timed.map(({ multiple, relative }) => `${multiple}: ${(100 * relative).toFixed(1)} %`);
  return `widths are multiples of ${chosenMultiple(timed)} units; time on this machine beside any width with as many FLOPs: ${shown.join(', ')}`;
}
