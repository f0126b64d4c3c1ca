/** `bench:engine --scaling`: width, depth, tokens and batch of a vision transformer against a step's time and peak memory, one at a time. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { textTable } from '../../trainer/cli/table.ts';
import type { VitShape } from './random-vit-graph.ts';
import type { ScalingResult } from './scaling-point.ts';

/** What every row but one entry of has: 65 tokens. */
const BASE: VitShape = { width: 192, heads: 3, depth: 4, side: 8, classes: 10 };
const BASE_BATCH = 16;
const MIB = 2 ** 20;

interface Point {
  readonly what: string;
  readonly shape: VitShape;
  readonly batch: number;
}

const point = (what: string, change: Partial<VitShape>, batch = BASE_BATCH): Point => {
  const shape = { ...BASE, ...change };
  return { what, batch, shape: { ...shape, heads: Math.max(1, shape.width / 64) } };
};

export const scalingRows: Readonly<Record<string, readonly Point[]>> = {
  width: [64, 192, 384, 768].map((width) => point('width', { width })),
  depth: [2, 4, 8, 12].map((depth) => point('depth', { depth })),
  tokens: [4, 8, 14, 20].map((side) => point('tokens', { side })),
  batch: [4, 16, 64, 128].map((batch) => point('batch', {}, batch)),
  'deit-base': [point('DeiT-Base', { width: 768, depth: 12, side: 14, classes: 1000 }, 8)],
};

/**
 * Goes through all rows in turn, so many times. A machine that is shared is slow for seconds at a time, and then for all of a row: of its
 * rounds the quickest counts, whole, so that both sides of a ratio were measured side by side.
 */
export function benchScaling(
  rows: readonly string[],
  { threads, rounds }: { readonly threads: number; readonly rounds: number },
): { readonly point: Point; readonly result: ScalingResult }[] {
  const points = rows.flatMap((row) => scalingRows[row] ?? []);
  const measured = Array.from({ length: rounds }, () => points.map((each) => timed(each, threads)));
  return points.map((point, row) => {
    const results = measured.map((round) => round[row] as ScalingResult);
    return { point, result: results.reduce((least, each) => (msOf(each) < msOf(least) ? each : least)) };
  });
}

const msOf = ({ forwardMs, masksMs, weightsMs }: ScalingResult) => forwardMs + masksMs + weightsMs;

function timed({ what, shape, batch }: Point, threads: number): ScalingResult {
  const script = fileURLToPath(new URL('./scaling-point.ts', import.meta.url));
  const settings = [JSON.stringify(shape), batch, threads].map(String);
  const { stdout, stderr } = spawnSync(process.execPath, [script, ...settings], { encoding: 'utf8' });
  if (!stdout.startsWith('{')) throw new Error(`${what} failed: ${stderr.slice(-500)}`);
  return JSON.parse(stdout) as ScalingResult;
}

export function scalingReport(
  found: readonly { readonly point: Point; readonly result: ScalingResult }[],
): string {
  const rows = found.map(({ point: { what, shape, batch }, result }) => {
    const { forwardMs, masksMs, weightsMs, bytes, flops } = result;
    const rate = (times: number, ms: number) => ((times * flops) / ms / 1e6).toFixed(0);
    return [
      what,
      String(shape.width),
      String(shape.depth),
      String(shape.side ** 2 + 1),
      String(batch),
      (flops / 1e9).toFixed(1),
      forwardMs.toFixed(1),
      rate(1, forwardMs),
      masksMs.toFixed(1),
      (masksMs / forwardMs).toFixed(2),
      weightsMs.toFixed(1),
      (weightsMs / forwardMs).toFixed(2),
      rate(3, weightsMs),
      (bytes / MIB).toFixed(0),
    ];
  });
  const heads = ['varied', 'width', 'depth', 'tokens', 'batch', 'GFLOP', 'forward ms', 'GFLOP/s'];
  return textTable([...heads, 'masks ms', 'x', 'weights ms', 'x', 'GFLOP/s', 'MiB'], rows);
}
