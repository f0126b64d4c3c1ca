import { describe, expect, test } from 'vitest';
import { randomSource } from '../search/random.ts';
import type { Moments } from '../statistics/activation-moments.ts';
import { compensate } from './ridge.ts';

const rows = 400;
const dIn = 6;
const dOut = 3;

/** Inputs whose last two entries are nearly combinations of the others, plus an offset: compensation can win much. */
function examples(): number[][] {
  const source = randomSource(7, 99, 1);
  return Array.from({ length: rows }, () => {
    const x = Array.from({ length: 4 }, () => source.uniform() * 2 - 1);
    const noise = () => (source.uniform() - 0.5) * 0.01;
    return [...x, x[0]! - x[1]! + 0.5 + noise(), 0.3 * x[2]! - 1 + noise()];
  });
}

function momentsOf(inputs: number[][]): Moments {
  const sum = new Float64Array(dIn);
  const gram = new Float64Array(dIn * dIn);
  for (const x of inputs) {
    for (const [i, a] of x.entries()) {
      sum[i]! += a;
      for (const [j, b] of x.entries()) gram[i * dIn + j]! += a * b;
    }
  }
  return { size: dIn, count: inputs.length, sum, gram };
}

const inputs = examples();
const source = randomSource(8, 99, 2);
const matrix = {
  rows: dOut,
  cols: dIn,
  data: Float64Array.from({ length: dOut * dIn }, () => source.uniform() * 2 - 1),
};
const bias = Float64Array.of(0.1, -0.2, 0.3);
const kept = [0, 1, 2, 3];

function squaredError(
  approximate: { matrix: { data: Float64Array }; bias: Float64Array | undefined },
  columns: readonly number[],
): number {
  let total = 0;
  for (const x of inputs) {
    for (let o = 0; o < dOut; o++) {
      const exact = bias[o]! + x.reduce((sum, value, i) => sum + value * matrix.data[o * dIn + i]!, 0);
      const given =
        (approximate.bias?.[o] ?? 0) +
        columns.reduce((sum, k, i) => sum + x[k]! * approximate.matrix.data[o * columns.length + i]!, 0);
      total += (exact - given) ** 2;
    }
  }
  return total;
}

describe('ridge compensation', () => {
  const cut = {
    matrix: {
      data: Float64Array.from(
        { length: dOut * 4 },
        (_, i) => matrix.data[Math.floor(i / 4) * dIn + (i % 4)]!,
      ),
    },
    bias,
  };

  test('takes over what the removed units gave, offset included', () => {
    const result = compensate({ matrix, bias }, momentsOf(inputs), kept, 1e-8);
    expect(squaredError(result, kept)).toBeLessThan(1e-3 * squaredError(cut, kept));
  });

  test('is the least-squares optimum: moving any weight only adds error', () => {
    const result = compensate({ matrix, bias }, momentsOf(inputs), kept, 0);
    const best = squaredError(result, kept);
    for (const i of result.matrix.data.keys()) {
      for (const step of [-1e-3, 1e-3]) {
        const moved = {
          ...result,
          matrix: { data: result.matrix.data.with(i, result.matrix.data[i]! + step) },
        };
        expect(squaredError(moved, kept)).toBeGreaterThan(best);
      }
    }
  });

  test('changes nothing when nothing is cut, and less the more it is damped', () => {
    const all = [0, 1, 2, 3, 4, 5];
    expect([...compensate({ matrix, bias }, momentsOf(inputs), all, 1e-3).matrix.data]).toEqual([
      ...matrix.data,
    ]);
    const change = (damping: number) => {
      const result = compensate({ matrix, bias }, momentsOf(inputs), kept, damping);
      return Math.hypot(...result.matrix.data.map((value, i) => value - cut.matrix.data[i]!));
    };
    expect(change(100)).toBeLessThan(change(1));
    expect(change(1)).toBeLessThan(change(1e-3));
  });

  test('works without a bias', () => {
    const result = compensate({ matrix, bias: undefined }, momentsOf(inputs), kept, 1e-6);
    expect(result.bias).toBeUndefined();
    expect(result.matrix.data.every(Number.isFinite)).toBe(true);
  });
});
