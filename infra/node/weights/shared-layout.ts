/**
 * Where the weights of all levels lie in one file, so that a level is a set of views of it. Pure.
 *
 * onnxruntime maps an initializer whose data lies in a file at some offset into memory, instead of copying it: whatever
 * several levels and threads map is in memory once. A view has to be contiguous, so the units, which stand in path order,
 * have to be the outermost axis; then level k of a matrix is its first rows.
 *
 *   W [in, heads * units]  -->  S [units * heads, in]    level 0 |==|          rows of units 0..w0
 *                                                         level 1 |==|==|       ..w1
 *                                                         dense   |==|==|====|  all
 *
 * The level's graph takes S in the place of W (`shared-graph.ts`). What is not worth a page, or not taken by an operator that
 * can read it turned, is stored as the artifact has it, in parts, and copied into the level's graph. Matrices of a level's
 * own lie as they are in the artifact.
 */
import type { ModelProto, NodeProto } from 'onnx-buf';
import { bornCount } from '../../../schema/artifact/layout.ts';
import { ownedByAll } from '../../../schema/artifact/level-model.ts';
import type { Manifest, ManifestTensor, UnitAxis } from '../../../schema/manifest.ts';

/** Views begin at a page, so that what is mapped for one tensor holds no other. */
const PAGE_BYTES = 4096;

export interface RowsPlace {
  readonly kind: 'rows';
  readonly offset: number;
  /** Bytes of the rows of one unit; of the whole tensor where it has no units. */
  readonly unitBytes: number;
  /** Undefined for a tensor that is the same at every level. */
  readonly axis: UnitAxis | undefined;
  /** Whether the axis of the units had to be brought to the front, so that the graph must take the tensor turned. */
  readonly turned: boolean;
}

export interface PartsPlace {
  readonly kind: 'parts';
  /** Of what each level adds, by level. */
  readonly offsets: readonly number[];
}

export type Place = RowsPlace | PartsPlace;

export interface SharedLayout {
  /** Of the whole file. */
  readonly bytes: number;
  readonly places: ReadonlyMap<string, Place>;
  /** Where the copy of each level's own file begins; undefined where a level has none. */
  readonly ownOffsets: readonly (number | undefined)[];
}

/** @param graph the artifact's graph: who takes a tensor decides how it may lie */
export function sharedLayout(manifest: Manifest, graph: ModelProto): SharedLayout {
  const owned = ownedByAll(manifest.levels.map(({ own }) => own?.extents.map(({ tensor }) => tensor) ?? []));
  const users = usersOf(graph);
  const widths = manifest.levels.map((level) => level.widths);
  let end = 0;
  const take = (bytes: number) => {
    const offset = end;
    end += Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    return offset;
  };
  const places = new Map<string, Place>();
  for (const tensor of manifest.tensors) {
    if (owned.has(tensor.name)) continue;
    const bytes = 4 * tensor.dims.reduce((product, dim) => product * dim, 1);
    const [axis] = tensor.unitAxes;
    const fit = bytes < PAGE_BYTES ? undefined : viewOf(tensor, users.get(tensor.name) ?? []);
    if (fit === undefined) {
      const offsets = widths.map((_, level) => take(4 * bornCount(tensor, widths, level)));
      places.set(tensor.name, { kind: 'parts', offsets });
    } else {
      const units = axis === undefined ? 1 : (manifest.pairs[axis.pair]?.units ?? 1);
      places.set(tensor.name, {
        kind: 'rows',
        offset: take(bytes),
        unitBytes: bytes / units,
        axis,
        turned: fit.turned,
      });
    }
  }
  const ownOffsets = manifest.levels.map(({ own }) => {
    const bytes = manifest.files.find(({ path }) => path === own?.path)?.bytes;
    return bytes === undefined ? undefined : take(bytes);
  });
  return { bytes: end, places, ownOffsets };
}

/** The nodes that take a tensor, with the place of the input. */
export interface User {
  readonly node: NodeProto;
  readonly input: number;
}

export function usersOf(graph: ModelProto): Map<string, User[]> {
  const users = new Map<string, User[]>();
  for (const node of graph.graph?.node ?? [])
    for (const [input, name] of node.input.entries()) {
      const known = users.get(name);
      if (known === undefined) users.set(name, [{ node, input }]);
      else known.push({ node, input });
    }
  return users;
}

/** Whether a tensor can lie in rows of units; undefined where it cannot. */
function viewOf(tensor: ManifestTensor, users: readonly User[]): { turned: boolean } | undefined {
  const [axis, second] = tensor.unitAxes;
  if (second !== undefined) return undefined;
  if (axis === undefined || (axis.axis === 0 && axis.outer === 1)) return { turned: false };
  return tensor.dims.length === 2 && users.length > 0 && users.every(takesTurned)
    ? { turned: true }
    : undefined;
}

/** MatMul, and Gemm as a plain linear map, can take their second input either way round. */
function takesTurned({ node, input }: User): boolean {
  if (input !== 1 || node.domain !== '') return false;
  if (node.opType === 'MatMul') return true;
  const plain = (name: string) => (node.attribute.find((attribute) => attribute.name === name)?.f ?? 1) === 1;
  return node.opType === 'Gemm' && !flagOf(node, 'transA') && plain('alpha') && plain('beta');
}

export function flagOf(node: NodeProto, name: string): boolean {
  return (node.attribute.find((attribute) => attribute.name === name)?.i ?? 0n) !== 0n;
}

/**
 * What one level adds to a tensor, as it lies in the file: units first.
 * @param part elements in row-major order of the tensor [before, outer, units, inner, after]
 * @param units how many units the level adds
 * @returns [units, outer, inner, before, after]
 */
export function unitsFirst(tensor: ManifestTensor, part: Float32Array, units: number): Float32Array {
  const [axis] = tensor.unitAxes;
  if (axis === undefined) return part;
  const { outer, inner } = axis;
  const before = tensor.dims.slice(0, axis.axis).reduce((a, b) => a * b, 1);
  const after = tensor.dims.slice(axis.axis + 1).reduce((a, b) => a * b, 1);
  if (before === 1 && outer === 1) return part;
  const rows = new Float32Array(part.length);
  const blocks = outer * units * inner;
  // Blocks of rows, so that what is written lies near what was written before.
  for (let start = 0; start < before; start += TILE) {
    const stop = Math.min(before, start + TILE);
    for (let o = 0; o < outer; o++)
      for (let u = 0; u < units; u++)
        for (let i = 0; i < inner; i++) {
          const from = (o * units + u) * inner + i;
          const to = ((u * outer + o) * inner + i) * before;
          if (after === 1) for (let b = start; b < stop; b++) rows[to + b] = part[b * blocks + from] ?? 0;
          else
            for (let b = start; b < stop; b++)
              rows.set(
                part.subarray((b * blocks + from) * after, (b * blocks + from + 1) * after),
                (to + b) * after,
              );
        }
  }
  return rows;
}

const TILE = 64;
