/**
 * The byte layout of path-ordered weights, in one walk that writer and reader share.
 *
 * Units stand in path order, so level k's tensor is the dense one with every unit axis cut after its first
 * `width(k)` units. An element is *born* at the first level whose widths hold it; chunk l holds, tensor by tensor,
 * the elements born at level l in row-major order. That order is the same at every level, since it is lexicographic in
 * (outer, unit, inner) whatever the width: so level k is one pass over chunks 0..k with a cursor in each.
 *
 *   dense W [4 x 6], unit axis 1, widths 2, 3, 6        chunk 0: a b | g h | m n | s t
 *     a b | c | d e f                                   chunk 1: c | i | o | u
 *     g h | i | j k l      ...                          chunk 2: d e f | j k l | p q r | v w x
 */
import { SppError } from '../errors.ts';
import type { ManifestTensor } from '../manifest.ts';

/** Kept units by level, then by pair. */
export type WidthsByLevel = readonly (readonly number[])[];

/** Shape of a tensor at given widths. */
export function levelDims(tensor: ManifestTensor, widths: readonly number[]): number[] {
  const dims = [...tensor.dims];
  for (const { axis, pair, outer, inner } of tensor.unitAxes)
    dims[axis] = outer * widthOf(widths, pair) * inner;
  return dims;
}

/** Elements of a tensor that are born at `level`. */
export function bornCount(tensor: ManifestTensor, widths: WidthsByLevel, level: number): number {
  const size = (l: number) => (l < 0 ? 0 : levelDims(tensor, widthsAt(widths, l)).reduce((a, b) => a * b, 1));
  return tensor.unitAxes.length === 0 ? (level === 0 ? size(0) : 0) : size(level) - size(level - 1);
}

/**
 * Walks the elements of a tensor as it is at level `top`, in row-major order, in runs born at one level.
 * @param visit gets the level of birth, the run's offset in the tensor at `top`, and its length, in elements
 */
function walkRuns(
  tensor: ManifestTensor,
  widths: WidthsByLevel,
  top: number,
  visit: (birth: number, offset: number, length: number) => void,
): void {
  const dims = levelDims(tensor, widthsAt(widths, top));
  const total = dims.reduce((a, b) => a * b, 1);
  const digits = toDigits(tensor, dims, widths, top);
  const last = digits.findLastIndex((digit) => digit.births !== undefined);
  const lastDigit = digits[last];
  if (lastDigit?.births === undefined) {
    if (total > 0) visit(0, 0, total);
    return;
  }
  const trailing = digits.slice(last + 1).reduce((product, digit) => product * digit.size, 1);
  const segments = toSegments(lastDigit.births);
  const leading = digits.slice(0, last);
  const rows = leading.reduce((product, digit) => product * digit.size, 1);
  const counter = leading.map(() => 0);
  let offset = 0;
  for (let row = 0; row < rows; row++) {
    let birth = 0;
    for (const [d, digit] of leading.entries()) birth = Math.max(birth, digit.births?.[counter[d] ?? 0] ?? 0);
    for (const segment of segments) {
      const length = segment.length * trailing;
      visit(Math.max(birth, segment.birth), offset, length);
      offset += length;
    }
    for (let d = leading.length - 1; d >= 0; d--) {
      const next = (counter[d] ?? 0) + 1;
      counter[d] = next === leading[d]?.size ? 0 : next;
      if (counter[d] !== 0) break;
    }
  }
}

/** Cuts a dense, path-ordered tensor into what each level adds. */
export function encodeTensor(
  tensor: ManifestTensor,
  widths: WidthsByLevel,
  data: Float32Array,
): Float32Array[] {
  const parts = widths.map((_, level) => new Float32Array(bornCount(tensor, widths, level)));
  const cursors = widths.map(() => 0);
  walkRuns(tensor, widths, widths.length - 1, (birth, offset, length) => {
    const cursor = cursors[birth] ?? 0;
    parts[birth]?.set(data.subarray(offset, offset + length), cursor);
    cursors[birth] = cursor + length;
  });
  return parts;
}

/**
 * Puts level `top` of a tensor together.
 * @param parts what each of the levels 0..top adds, as `encodeTensor` gave it
 * @throws `bad-artifact` when a part has the wrong size
 */
export function decodeTensor(
  tensor: ManifestTensor,
  widths: WidthsByLevel,
  top: number,
  parts: readonly Float32Array[],
): Float32Array {
  for (let level = 0; level <= top; level++) {
    const want = bornCount(tensor, widths, level);
    const have = parts[level]?.length ?? 0;
    if (have !== want) {
      throw new SppError(
        'bad-artifact',
        `Level ${level} holds ${have} elements of ${tensor.name} where ${want} belong.`,
      );
    }
  }
  const total = levelDims(tensor, widthsAt(widths, top)).reduce((a, b) => a * b, 1);
  const data = new Float32Array(total);
  const cursors = new Array<number>(top + 1).fill(0);
  walkRuns(tensor, widths, top, (birth, offset, length) => {
    const cursor = cursors[birth] ?? 0;
    const part = parts[birth];
    if (part) data.set(part.subarray(cursor, cursor + length), offset);
    cursors[birth] = cursor + length;
  });
  return data;
}

interface Digit {
  readonly size: number;
  /** Level of birth by index, on a unit digit. */
  readonly births?: readonly number[];
}

function toDigits(
  tensor: ManifestTensor,
  dims: readonly number[],
  widths: WidthsByLevel,
  top: number,
): Digit[] {
  const byAxis = new Map(tensor.unitAxes.map((axis) => [axis.axis, axis]));
  return dims.flatMap((size, axis): Digit[] => {
    const unit = byAxis.get(axis);
    if (unit === undefined) return [{ size }];
    const width = widthOf(widthsAt(widths, top), unit.pair);
    const births = Array.from({ length: width }, (_, u) =>
      widths.findIndex((level) => u < widthOf(level, unit.pair)),
    );
    return [{ size: unit.outer }, { size: width, births }, { size: unit.inner }];
  });
}

function toSegments(births: readonly number[]): { birth: number; length: number }[] {
  const segments: { birth: number; length: number }[] = [];
  for (const birth of births) {
    const open = segments.at(-1);
    if (open?.birth === birth) open.length++;
    else segments.push({ birth, length: 1 });
  }
  return segments;
}

function widthsAt(widths: WidthsByLevel, level: number): readonly number[] {
  const row = widths[level];
  if (row === undefined)
    throw new SppError('unknown-level', `There is no level ${level}; the last is ${widths.length - 1}.`);
  return row;
}

function widthOf(widths: readonly number[], pair: number): number {
  const width = widths[pair];
  if (width === undefined)
    throw new SppError('bad-artifact', `A tensor names pair ${pair}, which the manifest does not have.`);
  return width;
}
